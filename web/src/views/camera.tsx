// One camera: its picture, figures, latest events, history and how it is.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count, percent, rate, size } from '../data/format';
import { keepsUp, STATE_NAME, stateAdvice, stateSentence } from '../data/words';
import { StateBadge } from '../parts/badge';
import { LineCounts, NoCounter, ZoneCounts } from '../parts/counts';
import { Events } from '../parts/events';
import { BUCKETS, HistoryPanel, sourcesOf, useHistory } from '../parts/history_panel';
import { BackIcon, EditIcon } from '../parts/icons';
import { Picture } from '../parts/picture';
import { Segments } from '../parts/segments';
import { Spoken } from '../parts/spoken';
import type { Bucket, Camera } from '../state/protocol';
import { editHref } from '../state/route';
import { cameras, watchCameras } from '../state/store';
import { Loading } from './wall';

export function CameraView({ name }: { name: string }) {
  useEffect(watchCameras, []);
  if (cameras.value === null) return <Loading />;
  const camera = cameras.value.find((one) => one.name === name);
  if (camera === undefined)
    return (
      <section class="empty">
        <h1 tabIndex={-1}>No camera named {name}</h1>
        <p>It may have been renamed or removed.</p>
        <p><a href="#/">Back to the wall</a></p>
      </section>
    );
  return (
    <section class="camera">
      <header class="head">
        <a href="#/" class="button button-icon" aria-label="Back to the wall" title="Back to the wall"><BackIcon /></a>
        <h1 tabIndex={-1}>{camera.name}</h1>
        <StateBadge state={camera.state} reason={camera.reason} />
        <span class="grow" />
        <a class="button" href={editHref(camera.name)}><EditIcon /><span>Lines, zones, settings</span></a>
      </header>
      <div class="camera-grid">
        <div class="camera-main">
          <div class="card card-picture">
            <Picture key={camera.name} camera={camera} label={`Live picture of ${camera.name}`} large />
          </div>
          <CameraHistory key={`history/${camera.name}`} camera={camera} />
        </div>
        <div class="camera-side">
          <div class="card">
            <h2>Counts <small class="quiet">since counting began</small></h2>
            <div class="tile-counts">
              {camera.lines.map((line) => <LineCounts key={line.name} camera={camera.name} line={line} />)}
              {camera.zones.map((zone) => <ZoneCounts key={zone.name} camera={camera.name} zone={zone} />)}
              {camera.lines.length + camera.zones.length === 0 && <NoCounter camera={camera} />}
            </div>
            <Spoken camera={camera} />
          </div>
          <div class="card">
            <h2>Latest events</h2>
            <Events camera={camera} />
          </div>
          <Details camera={camera} />
        </div>
      </div>
    </section>
  );
}

function CameraHistory({ camera }: { camera: Camera }) {
  const sources = sourcesOf(camera);
  const counter = useSignal(sources[0]?.counter ?? '');
  const bucket = useSignal<Bucket>('minute');
  const source = sources.find((one) => one.counter === counter.value) ?? sources[0] ?? null;
  const loaded = useHistory(source, bucket.value, null);
  if (source === null) return null;
  return (
    <div class="card">
      <div class="card-head">
        <h2>History</h2>
        {sources.length > 1 && (
          <select
            class="field" aria-label="Line or zone" value={source.counter}
            onChange={(event) => (counter.value = event.currentTarget.value)}
          >
            {sources.map((one) => <option key={one.counter} value={one.counter}>{one.counter}</option>)}
          </select>
        )}
        <a class="more-link" href={`#/history?${new URLSearchParams({ camera: camera.name, counter: source.counter, bucket: bucket.value })}`}>
          Table and longer ranges
        </a>
      </div>
      <HistoryPanel source={source} loaded={loaded} height={240}>
        <Segments
          label="Each bar is one" name="bucket" value={bucket.value} options={BUCKETS}
          onChange={(value) => (bucket.value = value)}
        />
      </HistoryPanel>
    </div>
  );
}

/** Empty for a camera of one stream. */
function mainStream({ main }: Camera): string {
  if (main === null) return '';
  if (main.state === 'streaming') return [main.codec.toUpperCase(), size(main.width, main.height), 'shown large'].filter(Boolean).join(', ');
  return main.state === 'idle' && main.reason === '' ? 'connected to while somebody looks' : main.reason || STATE_NAME[main.state];
}

function Details({ camera }: { camera: Camera }) {
  const advice = stateAdvice(camera);
  const wanted = camera.fps.wanted > 0 ? `${rate(camera.fps.wanted)} wanted` : 'every picture wanted';
  const rows: [string, string, string?][] = [
    ['Video', [camera.codec.toUpperCase(), size(camera.width, camera.height)].filter(Boolean).join(', ') || 'not known yet'],
    ['Main stream', mainStream(camera), camera.main?.state === 'backoff' || camera.main?.state === 'stalled' ? 'warn' : ''],
    ['Rate', `${rate(camera.fps.analysed)} of ${rate(camera.fps.decoded)} pictures a second analysed, ${wanted}${camera.analysis === '' || camera.analysis === 'as wanted' ? '' : `; ${camera.analysis}`}`],
    ['Coverage', camera.coverage === null ? 'not known yet' : `${percent(camera.coverage)} of the last minute was analysed`],
    ['Pictures', `${count(camera.frames.analysed)} analysed, ${count(camera.frames.skipped)} not needed at this rate`],
    ['Dropped', `${count(camera.frames.dropped)} given up for newer ones`, camera.frames.dropped > 0 ? 'warn' : ''],
    ['Reconnects', count(camera.reconnects)],
    ['Damage', `${count(camera.decodeErrors)} decoding errors, ${count(camera.packetsLost)} packets lost`],
    ['Source', camera.source],
  ];
  return (
    <div class="card">
      <h2>Health</h2>
      <p class="health-sentence">{stateSentence(camera)}</p>
      {camera.state !== 'streaming' && camera.reason !== '' && <p class="health-reason">{camera.reason}</p>}
      {advice !== '' && <p class="advice">{advice}</p>}
      {!keepsUp(camera) && (
        <p class="advice">The server cannot analyse as many pictures as wanted. Let it analyse fewer each second of some cameras
          (“detect: fps”), use a smaller model, or give the server more cores or a GPU.</p>
      )}
      <dl class="details">
        {rows.filter((row) => row[1] !== '').map(([name, text]) => (
          <div key={name}><dt>{name}</dt><dd>{text}</dd></div>
        ))}
      </dl>
    </div>
  );
}
