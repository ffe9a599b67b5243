// A seat in an instance: where to go and the ticket to show there, once, within 30 seconds.
export class NoSeat extends Error {
  constructor(message, status, answer = {}) {
    super(message);
    this.status = status; // 0: no answer at all
    this.answer = answer;
  }
}

export async function seat(url, app, { mode = "control", monitor = null } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method: "POST",
      credentials: "same-origin",
      headers: {
        "Content-Type": "application/json",
        "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content,
      },
      body: JSON.stringify({ app, mode, monitor }),
    });
  } catch {
    throw new NoSeat("The portal does not answer. Check your network.", 0);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new NoSeat(answer.detail ?? `The portal refused (${response.status}).`, response.status, answer);
  }
  return answer;
}
