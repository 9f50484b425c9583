// All cameras at a glance. Tiles that cannot be seen cost nothing; a page never asks for more than the protocol allows.

import { computed, signal } from '@preact/signals';
import { rate } from '../data/format';
import { keepsUp, rests, STATE_TONE } from '../data/words';
import { StateBadge } from '../parts/badge';
import { LineCounts, NoCounter, ZoneCounts } from '../parts/counts';
import { FullIcon, PlusIcon } from '../parts/icons';
import { Picture } from '../parts/picture';
import { Segments } from '../parts/segments';
import { kept } from '../state/kept';
import type { Camera } from '../state/protocol';
import { cameraHref } from '../state/route';
import { cameras, camerasError, link } from '../state/store';
import { TILES_MAX } from '../state/topics';

const PAGE = Math.min(24, TILES_MAX);
type Size = 'small' | 'medium' | 'large';
const tileSize = kept<Size>('tiles', 'medium', ['small', 'medium', 'large']);
const search = signal('');
const page = signal(0);

const found = computed(() => {
  const wanted = search.value.trim().toLocaleLowerCase();
  const all = cameras.value ?? [];
  return wanted === '' ? all : all.filter((camera) => camera.name.toLocaleLowerCase().includes(wanted));
});

export function Wall() {
  if (cameras.value === null) return <Loading />;
  if (cameras.value.length === 0) return <NoCamera />;
  const pages = Math.max(1, Math.ceil(found.value.length / PAGE));
  const at = Math.min(page.value, pages - 1);
  const shown = found.value.slice(at * PAGE, (at + 1) * PAGE);
  return (
    <section class="wall">
      <header class="head">
        <h1 tabIndex={-1}>Wall</h1>
        <Summary />
        <span class="grow" />
        {cameras.value.length > 6 && (
          <input
            type="search" class="field search" placeholder="Find a camera" aria-label="Find a camera"
            value={search.value} onInput={(event) => { search.value = event.currentTarget.value; page.value = 0; }}
          />
        )}
        {cameras.value.length > 1 && (
          <Segments
            label="Size of the tiles" name="tiles" value={tileSize.value}
            options={[['small', 'S', 'Small tiles'], ['medium', 'M', 'Medium tiles'], ['large', 'L', 'Large tiles']]}
            onChange={(value) => (tileSize.value = value)}
          />
        )}
        <a class="button" href="#/add"><PlusIcon /><span>Add a camera</span></a>
        <button type="button" class="button button-icon" title="Full screen (F)" aria-label="Full screen" onClick={toggleFull}>
          <FullIcon />
        </button>
      </header>
      {shown.length === 0 && <p class="empty-small">No camera has “{search.value}” in its name.</p>}
      <div class={`tiles tiles-${shown.length === 1 ? 'one' : tileSize.value}`}>
        {shown.map((camera) => <Tile key={camera.name} camera={camera} />)}
      </div>
      {pages > 1 && <Pages at={at} pages={pages} />}
    </section>
  );
}

function Summary() {
  const all = cameras.value ?? [];
  const bad = all.filter((camera) => STATE_TONE[camera.state] === 'bad').length;
  return (
    <p class="head-note">
      {all.length} {all.length === 1 ? 'camera' : 'cameras'}
      {bad > 0 && <a href="#/health" class="bad-text">{bad} without pictures</a>}
    </p>
  );
}

function Tile({ camera }: { camera: Camera }) {
  const slow = !keepsUp(camera);
  return (
    <article class="tile">
      <a href={cameraHref(camera.name)} class="tile-picture" tabIndex={-1} aria-label={`Open ${camera.name}`}>
        <Picture camera={camera} label={`Live picture of ${camera.name}`} />
      </a>
      <header class="tile-head">
        <h2><a href={cameraHref(camera.name)}>{camera.name}</a></h2>
        <StateBadge state={camera.state} reason={camera.reason} />
        <span class="grow" />
        <Rate camera={camera} slow={slow} />
      </header>
      <div class="tile-counts">
        {camera.lines.map((line) => <LineCounts key={line.name} camera={camera.name} line={line} />)}
        {camera.zones.map((zone) => <ZoneCounts key={zone.name} camera={camera.name} zone={zone} />)}
        {camera.lines.length + camera.zones.length === 0 && <NoCounter camera={camera} />}
      </div>
    </article>
  );
}

function Rate({ camera, slow }: { camera: Camera; slow: boolean }) {
  if (camera.state !== 'streaming') return null;
  if (rests(camera)) return <span class="tile-rate quiet" title="Nothing moves, so the detector rests">nothing moves</span>;
  const wanted = camera.fps.wanted > 0 ? rate(camera.fps.wanted) : 'all';
  return (
    <span
      class={`tile-rate${slow ? ' warn-text' : ''}`}
      title={slow ? `The server analyses fewer pictures than wanted: ${camera.analysis || 'it is busy'}` : 'Pictures analysed each second, of those wanted'}
    >
      {slow && <span aria-hidden="true">▾ </span>}
      {rate(camera.fps.analysed)}<span class="quiet"> / {wanted} fps</span>
    </span>
  );
}

function Pages({ at, pages }: { at: number; pages: number }) {
  return (
    <nav class="pages" aria-label="Pages of cameras">
      <button type="button" class="button" disabled={at === 0} onClick={() => (page.value = at - 1)}>Previous</button>
      <span>Page {at + 1} of {pages}</span>
      <button type="button" class="button" disabled={at === pages - 1} onClick={() => (page.value = at + 1)}>Next</button>
    </nav>
  );
}

export function toggleFull(): void {
  if (document.fullscreenElement !== null) void document.exitFullscreen();
  else void document.documentElement.requestFullscreen().catch(() => undefined);
}

export function Loading() {
  const lost = link.value.phase === 'lost';
  return (
    <section class="empty">
      <h1 tabIndex={-1}>{lost ? 'The server cannot be reached' : 'Connecting…'}</h1>
      {camerasError.value !== '' && <p>{camerasError.value}</p>}
      {lost && <p>This page connects by itself as soon as the server answers.</p>}
    </section>
  );
}

function NoCamera() {
  return (
    <section class="empty">
      <h1 tabIndex={-1}>No camera yet</h1>
      <p><a class="button button-main" href="#/add"><PlusIcon /><span>Add a camera</span></a></p>
      <p>Or add it under <code>cameras:</code> in the server’s configuration file, for example:</p>
      <pre>{`cameras:
  gate:
    ffmpeg:
      inputs:
        - path: rtsp://192.168.1.20/stream
    lines:
      door:
        coordinates: "0.1,0.6,0.9,0.6"
        directions: {a_to_b: in, b_to_a: out}`}</pre>
      <p>It appears here as soon as the server has read the file.</p>
    </section>
  );
}
