// An OpenID provider that others wrote and certified, with MyAccessID's habits: claims only in userinfo, PKCE, acr.
// The only argument is JSON: {port, issuer, portal, secret, keys, people}. It ends when its standard input does. Its own pages
// are plain forms; consent is asked for only where a test wants that.
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const { port, issuer, portal, secret, people, ...given } = JSON.parse(process.argv[2]);
const state = { keys: given.keys, heard: [], consent: false };
const SCOPE = 'openid email profile aarc';
const MFA = 'https://refeds.org/profile/mfa';

function client(algorithm) {
  return {
    client_id: `portal-${algorithm}`,
    client_secret: secret,
    // Its own address where it is one of several providers.
    redirect_uris: [`${portal}/sign-in/callback/`, `${portal}/sign-in/callback/localhost-${port}/`],
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
    async loadExistingGrant(ctx) {
      const { client, provider: own, result, session } = ctx.oidc;
      if (state.consent) {
        const known = result?.consent?.grantId;
        return known ? own.Grant.find(known) : undefined;
      }
      return granted(own, client.clientId, session.accountId);
    },
  });
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function granted(own, clientId, accountId) {
  const grant = new own.Grant({ clientId, accountId });
  grant.addOIDCScope(SCOPE);
  await grant.save();
  return grant;
}

function page(response, title, form) {
  response
    .setHeader('Content-Type', 'text/html; charset=utf-8')
    .end(`<!DOCTYPE html><html lang="en"><title>${title}</title><h1>${title}</h1><form method="post">${form}</form>`);
}

function loginPage(response, params) {
  const people_ = Object.entries(people).map(
    ([sub, { name }]) => `<label><input type="radio" name="sub" value="${sub}">${name}</label>`,
  );
  const wished = (params.acr_values ?? '').split(' ').includes(MFA);
  const factor = wished ? `<label><input type="checkbox" name="acr" value="${MFA}">Second factor</label>` : '';
  page(response, 'Log in', `${people_.join('')}${factor}<button>Log in</button>`);
}

function json(response, said) {
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(said));
}

async function login(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  const consenting = prompt.name === 'consent';
  if (request.method === 'GET' && consenting) {
    page(response, 'Share this?', '<button name="answer" value="yes">Allow</button><button name="answer" value="no">Deny</button>');
    return;
  }
  if (request.method === 'GET') {
    loginPage(response, params);
    return;
  }
  const { sub, acr, answer } = Object.fromEntries(new URLSearchParams(await body(request)));
  if (consenting && answer === 'yes') {
    const { jti: grantId } = await granted(provider, params.client_id, session.accountId);
    await provider.interactionFinished(request, response, { consent: { grantId } }, { mergeWithLastSubmission: true });
    return;
  }
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
    if (request.url === '/test/consent') {
      state.consent = JSON.parse(await body(request));
      return json(response, {});
    }
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
