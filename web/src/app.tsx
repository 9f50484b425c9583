// The house around the views: bar, banner, and which view is shown.

import { useEffect, useRef } from 'preact/hooks';
import { duration } from './data/format';
import { AutoIcon, ChartIcon, HealthIcon, LeaveIcon, MoonIcon, SunIcon, WallIcon } from './parts/icons';
import { LeaveQuestion } from './parts/leave_question';
import { Segments } from './parts/segments';
import { signOut } from './state/api';
import { route } from './state/route';
import { health, link, now, session, socket } from './state/store';
import { theme } from './state/theme';
import { mayLeave } from './state/unsaved';
import { AddCamera } from './views/add_camera';
import { CameraView } from './views/camera';
import { EditCamera } from './views/edit_camera';
import { HealthView } from './views/health';
import { HistoryView } from './views/history';
import { SignIn } from './views/sign_in';
import { toggleFull, Wall } from './views/wall';

export function App() {
  useEffect(() => {
    const key = (event: KeyboardEvent): void => {
      const typing = event.target instanceof HTMLElement && event.target.matches('input, select, textarea');
      if (event.key === 'f' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) toggleFull();
    };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  if (session.value?.required === true && !session.value.signedIn) return <SignIn />;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>
        To the content
      </a>
      <Bar />
      <Banner />
      <main id="main" tabIndex={-1} class={link.value.phase === 'lost' ? 'stale' : ''}><View /></main>
      <LeaveQuestion />
    </>
  );
}

function Bar() {
  const view = route.value.view;
  const problems = health.value?.problems.length ?? 0;
  return (
    <header class="top">
      <a href="#/" class="brand"><img src="/icon.svg" width="26" height="26" alt="" /><span>Sightline</span></a>
      <nav aria-label="Views">
        <a href="#/" aria-current={view === 'wall' || view === 'camera' || view === 'add' || view === 'edit' ? 'page' : undefined}><WallIcon /><span>Wall</span></a>
        <a href="#/history" aria-current={view === 'history' ? 'page' : undefined}><ChartIcon /><span>History</span></a>
        <a href="#/health" aria-current={view === 'health' ? 'page' : undefined}>
          <HealthIcon /><span>Health</span>
          {problems > 0 && <span class="pip">{problems}<span class="hidden"> problems</span></span>}
        </a>
      </nav>
      <span class="grow" />
      <LinkState />
      <Segments
        label="Theme" name="theme" value={theme.value}
        options={[['auto', <AutoIcon />, 'Theme as the system'], ['light', <SunIcon />, 'Light theme'], ['dark', <MoonIcon />, 'Dark theme']]}
        onChange={(value) => (theme.value = value)}
      />
      {session.value?.required === true && (
        <button type="button" class="button button-icon" title="Sign out" aria-label="Sign out" onClick={() => void leave()}>
          <LeaveIcon />
        </button>
      )}
    </header>
  );
}

async function leave(): Promise<void> {
  if (!(await mayLeave())) return;
  await signOut().catch(() => undefined);
  // A fresh page holds nothing of what was seen before.
  location.hash = '#/';
  location.reload();
}

function LinkState() {
  const phase = link.value.phase;
  return (
    <span class={`link link-${phase}`} title={phase === 'open' ? 'Connected: what you see is live' : 'Not connected'}>
      <i aria-hidden="true" />{phase === 'open' ? 'Live' : phase === 'lost' ? 'Offline' : 'Connecting'}
    </span>
  );
}

/** Says since when what is shown is old. Short losses are not worth a word. */
function Banner() {
  const state = link.value;
  const sinceMs = state.phase === 'lost' ? now.value - state.sinceMs : 0;
  const shown = state.phase === 'lost' && (sinceMs > 1500 || state.attempt > 1);
  const wait = state.phase === 'lost' ? Math.max(0, Math.ceil((state.retryAt - now.value) / 1000)) : 0;
  return (
    <div role="status" class="banner-place">
      {shown && (
        <div class="banner">
          <span>
            <b>No connection to the server</b> <span aria-hidden="true">for {duration(sinceMs)}</span>.
            What you see is old; the server goes on counting if it runs.
          </span>
          <span aria-hidden="true" class="banner-next">{wait > 0 ? `Next try in ${wait} s` : 'Trying…'}</span>
          <button type="button" class="button" onClick={() => socket.retryNow()}>Try now</button>
        </div>
      )}
    </div>
  );
}

const TITLES = { wall: 'Wall', history: 'History', health: 'Health', add: 'Add a camera' };

function View() {
  const { view, camera } = route.value;
  const first = useRef(true);
  useEffect(() => {
    const title = view === 'camera' ? camera : view === 'edit' ? `Change ${camera}` : TITLES[view];
    document.title = `${title} – Sightline`;
    // Somebody who listens or uses the keyboard is taken to the new page's heading.
    if (!first.current) {
      scrollTo(0, 0);
      document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
    }
    first.current = false;
  }, [view, camera]);
  if (view === 'camera') return <CameraView name={camera} />;
  if (view === 'history') return <HistoryView />;
  if (view === 'health') return <HealthView />;
  if (view === 'add') return <AddCamera />;
  if (view === 'edit') return <EditCamera key={camera} name={camera} />;
  return <Wall />;
}
