// A tab finds its session again: after a reload, when it was idle, when the explorer was restarted. The token lives in the
// tab's own storage, which a duplicated tab gets a copy of: whoever holds the token's lock has the session.
{
  const TOKEN = 'explorer-token', RESULTS = 'explorer-results', SAID = 'explorer-said', OPEN = 'explorer-open';
  const PATIENCE_MS = 500, LOST_MS = 1000, SAID_MS = 10000;
  const view = document.getElementById('viewport-frame');
  const line = document.getElementById('said');
  const channel = new BroadcastChannel('explorer-tabs');
  const stored = (key) => { try { return sessionStorage.getItem(key); } catch { return null; } };
  const store = (key, value) => { try { sessionStorage.setItem(key, value); } catch { /* a tab without storage starts anew */ } };
  let token = null, full = false, results = Number(stored(RESULTS)) || 0;

  // -- whose session -------------------------------------------------------------------------------

  channel.onmessage = ({data}) => {
    if (data.asked && data.asked === token) channel.postMessage({held: token});
  };

  // Whether no other tab has a token: by a lock where the browser has them (pages over https or of this machine), else by asking.
  async function free(wanted) {
    if (navigator.locks) {
      const patience = AbortSignal.timeout(PATIENCE_MS);  // a page that is being reloaded lets go of it a little later
      return new Promise((done) => navigator.locks
        .request(`explorer-${wanted}`, {signal: patience}, () => { done(true); return new Promise(() => {}); })
        .catch(() => done(false)));
    }
    return new Promise((done) => {
      const other = new BroadcastChannel('explorer-tabs');
      other.onmessage = ({data}) => { if (data.held === wanted) done(false); };
      other.postMessage({asked: wanted});
      setTimeout(() => { other.close(); done(true); }, PATIENCE_MS / 2);
    });
  }

  // What the explorer says of an earlier session; it may still be starting. Whoever stands between may answer, too (a proxy
  // that is busy or asks for a password): only an answer that speaks of a token says that there is none.
  async function recover(before) {
    for (;;) {
      const response = await fetch(`recover/${before}`, {method: 'POST'}).catch(() => null);
      const answer = await response?.json().catch(() => null);
      if (response?.ok && answer && 'token' in answer) return answer;
      if (response?.status < 500) {
        const why = `The explorer was not asked for this tab\u2019s earlier results (${response.status}); reload the page to try again.`;
        return {said: answer?.said || why};
      }
      await new Promise((done) => setTimeout(done, LOST_MS));
    }
  }

  // The token that this tab had before, if there is still something behind it; null for a tab that begins.
  async function find(before) {
    if (!(await free(before))) {
      results = 0;
      store(SAID, 'This tab is a copy of another, which keeps its results; what is made here is this tab\u2019s own.');
      return null;
    }
    const answer = await recover(before);
    if (answer.token) {
      store(SAID, answer.said);
      return answer.token;
    }
    const made = results === 1 ? '1 result' : `${results} results`;
    store(SAID, answer.said || (results ? `What was made in this tab (${made}) is gone: the explorer keeps it no more.` : ''));
    if (answer.said) full = true;  // it is tried again when the page is loaded again
    return null;
  }

  // The token of this tab, once it is known; `come` is the one that the page came with.
  explorer.claim = (come) => {
    const known = (found) => {
      token = found ?? come;
      if (!found) free(token);
      view.dataset.token = token;
      if (!full) store(TOKEN, token);
      explorer.listen(token);
      return token;
    };
    const before = stored(TOKEN);
    explorer.claimed = before ? find(before).then(known) : Promise.resolve(known(null));
    return explorer.claimed;
  };

  // -- what there is to say ------------------------------------------------------------------------

  // A sentence that was kept for when there is a page to read it on.
  function read() {
    const sentence = stored(SAID);
    if (!sentence) return;
    store(SAID, '');
    explorer.say(sentence, 20000);
  }

  explorer.hear('about', (about) => {
    results = about.results;
    store(RESULTS, results);
    if (about.said && about.said !== line.textContent) explorer.say(about.said, SAID_MS);
  });
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[role=tab]');
    if (/^tab-[a-z]+-button$/.test(button?.id)) store(OPEN, button.id);
  });
  const arrived = new MutationObserver(() => {
    if (!document.querySelector('.tl')) return;
    arrived.disconnect();
    read();
    document.getElementById(stored(OPEN))?.click();
  });
  arrived.observe(document.body, {childList: true, subtree: true});
}
