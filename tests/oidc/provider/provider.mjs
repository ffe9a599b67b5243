// An OpenID provider that others wrote and certified, with MyAccessID's habits: claims only in userinfo, PKCE, acr.
// The only argument is JSON: {port, portal, secret, keys, people}. It ends when its standard input does.
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const { port, portal, secret, people, ...given } = JSON.parse(process.argv[2]);
const issuer = `http://localhost:${port}`;
const state = { keys: given.keys, heard: [] };

function client(algorithm) {
  return {
    client_id: `portal-${algorithm}`,
    client_secret: secret,
    redirect_uris: [`${portal}/sign-in/callback/`],
    post_logout_redirect_uris: [`${portal}/sign-in/`],
    backchannel_logout_uri: `${portal}/sign-out/back-channel/`,
    backchannel_logout_session_required: true,
    id_token_signed_response_alg: algorithm,
  };
}

// Its keys are read once, so new keys are a new provider; what it remembers is shared by all in this process.
function build() {
  return new Provider(issuer, {
    clients: [client('ES256'), client('RS256')],
    jwks: state.keys,
    cookies: { keys: ['a key of the tests'] },
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
    acrValues: ['https://refeds.org/profile/mfa', 'https://refeds.org/profile/sfa'],
    claims: {
      openid: ['sub'],
      acr: null,
      sid: null,
      auth_time: null,
      iss: null,
      email: ['email', 'email_verified'],
      profile: ['name', 'given_name', 'family_name', 'preferred_username'],
      aarc: ['voperson_id', 'eduperson_entitlement', 'eduperson_assurance', 'eduperson_scoped_affiliation'],
    },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    // Its own fetch refuses loopback, where these tests live.
    async fetch(url, { dispatcher, ...options }) {
      const answer = await globalThis.fetch(url, options);
      state.heard.push({ status: answer.status, token: new URLSearchParams(options.body).get('logout_token') });
      return answer;
    },
    async findAccount(_, sub) {
      return people[sub] && { accountId: sub, claims: () => ({ sub, ...people[sub] }) };
    },
    // Consent is not what is tested here.
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email profile aarc');
      await grant.save();
      return grant;
    },
  });
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

function json(response, said) {
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(said));
}

async function login(request, response) {
  if (request.method === 'GET') {
    json(response, (await provider.interactionDetails(request, response)).params);
    return;
  }
  const { sub, acr } = Object.fromEntries(new URLSearchParams(await body(request)));
  const result = sub
    ? { login: { accountId: sub, ...(acr && { acr }) } }
    : { error: 'access_denied', error_description: 'Cancelled.' };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

let provider = build();
createServer(async (request, response) => {
  try {
    if (request.url.startsWith('/interaction/')) return await login(request, response);
    if (request.url === '/test/heard') return json(response, state.heard);
    if (request.url === '/test/keys') {
      state.keys = JSON.parse(await body(request));
      provider = build();
      return json(response, {});
    }
    return provider.callback()(request, response);
  } catch (error) {
    response.statusCode = 500;
    return response.end(String(error.stack));
  }
}).listen(port, '127.0.0.1');
process.stdin.on('end', () => process.exit(0)).resume();
