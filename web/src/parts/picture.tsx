// A camera's live picture with everything drawn over it, on one canvas. Asks for video only while it can be seen.

import { useEffect, useRef, useState } from 'preact/hooks';
import { drawOverlay } from '../draw/overlay';
import { paintNever, paintSoon } from '../draw/painter';
import { fit } from '../draw/geometry';
import type { Camera } from '../state/protocol';
import type { ShownStream } from '../state/socket';
import { counterOf, link, onEvent, socket } from '../state/store';
import { calm } from '../state/theme';
import { LivePicture, type LiveState } from '../video/live';
import { jpegReason, STATE_NAME, STATE_TONE } from '../data/words';

/** A tab that is hidden for longer than this stops its video. */
const HIDDEN_MS = 4000;
const GLOW_MS = 900;
/** Without a new picture for so long, the one that is shown is called old. */
const OLD_MS = 4000;

interface Props {
  camera: Camera;
  label: string;
  /** It is looked at large: the camera's main stream is asked for, if it has one. */
  large?: boolean;
}

export function Picture({ camera, label, large = false }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const current = useRef(camera);
  current.current = camera;
  const [state, setState] = useState<LiveState>({ kind: null, player: false, fallback: '' });
  const [old, setOld] = useState(false);
  const [shown, setShown] = useState<ShownStream | null>(null);
  const main = large && camera.main !== null;

  // The way to the camera is one per name, kind of video and stream; its other figures change all the time.
  useEffect(
    () => runPicture(canvas.current!, current, setState, setOld, main),
    [camera.name, camera.video, main],
  );
  useEffect(() => {
    setShown(null);
    return main ? socket.onStream(`video/${camera.name}`, setShown) : undefined;
  }, [camera.name, main]);

  const lost = link.value.phase !== 'open';
  // The server knows at once what a picture's age would only show seconds later.
  const stands = old || STATE_TONE[camera.state] === 'bad';
  const silent = state.kind === null || stands;
  return (
    <div class={`picture${stands || lost ? ' picture-old' : ''}`}>
      <canvas ref={canvas} role="img" aria-label={label} />
      {silent && <Waiting camera={camera} lost={lost} seen={state.kind !== null} />}
      {state.kind !== null && (
        <span class="video-kind" title={kindTitle(camera, state, shown)}>
          {state.kind === 'h264' ? 'H.264' : 'JPEG'}
          {shown !== null && (shown.stream === 'main' ? ', main stream' : ', analysed stream')}
          {state.kind === 'jpeg' && jpegReason(camera, state.fallback) !== '' && <span class="video-kind-note"> fallback</span>}
        </span>
      )}
    </div>
  );
}

function kindTitle(camera: Camera, state: LiveState, shown: ShownStream | null): string {
  const kind = videoTitle(camera, state);
  return shown === null || shown.note === '' ? kind : `${kind}; ${shown.note}`;
}

function videoTitle(camera: Camera, state: LiveState): string {
  if (state.player) return `The camera’s own video, through this browser’s media player, because ${state.fallback}`;
  if (state.kind === 'h264') return 'The camera’s own video, decoded by this browser';
  const reason = jpegReason(camera, state.fallback);
  return reason === '' ? 'Analysed pictures, sent as JPEG' : `Analysed pictures, sent as JPEG, because ${reason}`;
}

function Waiting({ camera, lost, seen }: { camera: Camera; lost: boolean; seen: boolean }) {
  if (lost) return seen ? null : <p class="picture-words"><span>No connection to the server</span></p>;
  const streaming = camera.state === 'streaming';
  return (
    <p class={`picture-words${streaming && !seen ? ' picture-wait' : ''}`}>
      <span>{streaming ? (seen ? 'No new picture' : 'Waiting for the first picture') : STATE_NAME[camera.state]}</span>
      {!streaming && camera.reason !== '' && <small>{camera.reason}</small>}
    </p>
  );
}

function runPicture(
  canvas: HTMLCanvasElement,
  camera: { current: Camera },
  setState: (state: LiveState) => void,
  setOld: (old: boolean) => void,
  main: boolean,
): () => void {
  const context = canvas.getContext('2d', { alpha: false })!;
  const glows = new Map<string, number>();
  let inView = false;
  let hiddenTimer = 0;

  const live = new LivePicture(camera.current, redraw, setState, main ? 'main' : 'sub');

  function redraw(): void {
    paintSoon(draw);
  }

  function draw(): void {
    const scale = Math.min(devicePixelRatio || 1, 2);
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (width === 0 || height === 0) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = '#0b0f13';
    context.fillRect(0, 0, width, height);
    const image = live.image;
    const wide = image === null ? camera.current.width : 'displayWidth' in image ? image.displayWidth : image.width;
    const high = image === null ? camera.current.height : 'displayHeight' in image ? image.displayHeight : image.height;
    const frame = fit(wide, high, width, height);
    if (image !== null) context.drawImage(image, frame.x, frame.y, frame.width, frame.height);
    // Lines on nothing would only stand in the way of the words that say why there is nothing.
    if (image === null && camera.current.state !== 'streaming') return;
    const { tracks, tails } = live.overlay();
    const nowMs = performance.now();
    let glowing = false;
    drawOverlay(context, frame, {
      camera: camera.current,
      tracks,
      tails,
      glow: (name) => {
        const share = 1 - (nowMs - (glows.get(name) ?? -GLOW_MS)) / GLOW_MS;
        if (share > 0) glowing = true;
        return Math.max(0, share);
      },
      occupancy: (zone) => {
        const counter = counterOf(camera.current.name, zone).peek();
        return counter?.kind === 'zone' ? counter.total.occupancy : null;
      },
    });
    if (glowing) redraw();
  }

  function decide(): void {
    clearTimeout(hiddenTimer);
    if (inView && !document.hidden) live.start();
    else hiddenTimer = window.setTimeout(() => live.stop(), inView ? HIDDEN_MS : 500);
  }

  const seen = new IntersectionObserver(
    (entries) => {
      inView = entries.at(-1)?.isIntersecting ?? false;
      decide();
    },
    { rootMargin: '80px' },
  );
  seen.observe(canvas);
  const sized = new ResizeObserver(redraw);
  sized.observe(canvas);
  document.addEventListener('visibilitychange', decide);
  const deaf = onEvent((event) => {
    if (event.camera !== camera.current.name || calm.peek()) return;
    glows.set(event.counter, performance.now());
    redraw();
  });
  const aging = window.setInterval(() => {
    setOld(live.shownAt !== 0 && performance.now() - live.shownAt > OLD_MS);
    // Lines appear and go with the camera's state, without any picture to draw them on.
    if (live.image === null) redraw();
  }, 1000);
  redraw();

  return () => {
    clearInterval(aging);
    clearTimeout(hiddenTimer);
    paintNever(draw);
    seen.disconnect();
    sized.disconnect();
    document.removeEventListener('visibilitychange', decide);
    deaf();
    live.close();
    setState({ kind: null, player: false, fallback: '' });
    setOld(false);
  };
}
