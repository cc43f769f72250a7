// What the session tells its page: over one WebSocket, every part of the page that has changed, each under a name. It finds
// the explorer again when that was away.
{
  const LOST_MS = 1000, UNSURE_MS = 2000;
  const KEY = 'The explorer was restarted with another key; open the address that it prints.';
  const WHY = {204: 'The explorer answers, but not its WebSockets: what stands between must pass them on.', 401: KEY, 403: KEY};
  const parts = {}, wanted = new Set();
  let socket = null, lost = 0, leaving = false;

  // Calls `then` with the newest of a part: now, if there is one, and whenever it changes.
  explorer.hear = (part, then) => {
    explorer.on(`news-${part}`, then);
    if (part in parts) then(parts[part]);
  };

  // Some parts are only told while they are shown.
  explorer.want = (part, on) => {
    wanted[on ? 'add' : 'delete'](part);
    ask();
  };
  const ask = () => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify([...wanted]));

  explorer.running = () => Boolean(parts.run?.busy);

  function take({data}) {
    if (lost) explorer.say('');
    lost = 0;
    document.body.classList.remove('lost');
    for (const [part, value] of Object.entries(JSON.parse(data))) {
      parts[part] = value;
      explorer.tell(`news-${part}`, value);
    }
  }

  explorer.listen = (token) => {
    const address = new URL(`news/${token}`, document.baseURI);
    address.protocol = address.protocol.replace('http', 'ws');
    socket = new WebSocket(address);
    socket.onopen = ask;
    socket.onmessage = take;
    socket.onclose = () => leaving || look(token);
  };

  // Why nothing is told: a socket does not say.
  async function look(token) {
    const response = await fetch(`alive/${token}`, {cache: 'no-store'}).catch(() => null);
    const answer = await response?.json().catch(() => null);
    if (response?.status === 404) return again();
    lost += 1;
    if (!response?.ok || lost > 1) {
      document.body.classList.add('lost');  // Gradio's own notice would lie over ours
      explorer.say(answer?.said || WHY[response?.status] || 'The explorer does not answer; this page goes on by itself when it is back.', 10 * LOST_MS);
    }
    setTimeout(explorer.listen, LOST_MS, token);
  }

  function again() {
    leaving = true;
    location.reload();
  }

  // Gradio may take the page for closed and forget what belongs to it; the page it had before a reload does not count.
  explorer.on('opened', () => explorer.hear('about', ({open}) => open || setTimeout(() => parts.about.open || again(), UNSURE_MS)));
  addEventListener('pagehide', () => { leaving = true; });
  addEventListener('pageshow', ({persisted}) => persisted && again());
  addEventListener('beforeunload', (event) => {
    if (explorer.running() && !leaving) event.preventDefault();
  });
}
