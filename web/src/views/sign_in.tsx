// The token, once: the server answers with a cookie that no script can read.

import { useSignal } from '@preact/signals';
import { ApiError, signIn } from '../state/api';
import { checkSession } from '../state/store';

export function SignIn() {
  const token = useSignal('');
  const error = useSignal('');
  const busy = useSignal(false);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy.value || token.value.trim() === '') return;
    busy.value = true;
    error.value = '';
    try {
      await signIn(token.value.trim());
      token.value = '';
      await checkSession();
    } catch (failure) {
      const status = failure instanceof ApiError ? failure.status : 0;
      error.value =
        status === 401 || status === 403 ? 'This token is not the right one.'
        : status === 429 ? 'Too many attempts. Wait a minute, then try again.'
        : failure instanceof Error ? failure.message : String(failure);
    } finally {
      busy.value = false;
    }
  };

  return (
    <main class="sign-in" id="main">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <img src="/icon.svg" width="44" height="44" alt="" />
        <h1 tabIndex={-1}>Sign in to Sightline</h1>
        <p class="quiet">Enter the access token of this server. It is in the configuration under <code>http: token</code>, or in
          the file that <code>token_file</code> names there.</p>
        <label>Token
          <input
            class="field" type="password" name="token" autocomplete="current-password" autofocus required
            value={token.value} onInput={(event) => (token.value = event.currentTarget.value)}
            aria-invalid={error.value !== ''} aria-describedby="sign-in-error"
          />
        </label>
        <p id="sign-in-error" class="bad-text" role="alert">{error.value}</p>
        <button type="submit" class="button button-main" disabled={busy.value}>{busy.value ? 'Signing in…' : 'Sign in'}</button>
      </form>
    </main>
  );
}
