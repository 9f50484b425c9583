// Changing a camera: its lines and zones on its picture, what it counts, how often it is analysed, its sign-in, or its end. One of
// the configuration file is changed there: what is drawn is told as text for it.

import { useSignal, type Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { CLASSES, freeShapeName, newShape, sameShapes, shapesOf, shapesProblem, toCounters, toYaml, withClass, type Shape } from '../data/shapes';
import { BackIcon, PlusIcon } from '../parts/icons';
import { ShapeDrawing } from '../parts/shape_drawing';
import { Busy, useTask, Wrong } from '../parts/task';
import { runJob } from '../state/jobs';
import type { Camera } from '../state/protocol';
import { cameraHref } from '../state/route';
import { cameras, loadCameras } from '../state/store';
import { forgetUnsaved, maySaveAlone, useUnsaved } from '../state/unsaved';
import { Loading } from './wall';

const PICTURE_WIDTH = 1280;
const FPS_MAX = 120;

export function EditCamera({ name }: { name: string }) {
  const [round, setRound] = useState(0);
  if (cameras.value === null) return <Loading />;
  const camera = cameras.value.find((one) => one.name === name);
  if (camera === undefined)
    return (
      <section class="empty">
        <h1 tabIndex={-1}>No camera named {name}</h1>
        <p><a href="#/">Back to the wall</a></p>
      </section>
    );
  return (
    <section class="add edit">
      <header class="head">
        <a href={cameraHref(name)} class="button button-icon" aria-label={`Back to ${name}`} title={`Back to ${name}`}><BackIcon /></a>
        <h1 tabIndex={-1}>{name}</h1>
      </header>
      <Shapes key={round} camera={camera} onAnew={() => setRound(round + 1)} />
      {camera.managed && !camera.source.startsWith('upload:') && <SignInAnew camera={camera} />}
      {camera.managed && <Removal camera={camera} />}
    </section>
  );
}

/** With a version it is refused when somebody else has changed the camera since; then what it is now is shown. */
async function change(name: string, camera: Record<string, unknown>, signal: AbortSignal, version = ''): Promise<void> {
  try {
    await runJob({ do: 'change_camera', name, camera, ...(version === '' ? {} : { version }) }, signal);
  } catch (failure) {
    if (!signal.aborted) await loadCameras();
    throw failure;
  }
  forgetUnsaved();
  await loadCameras();
  location.hash = cameraHref(name);
}

// ---- lines and zones ----

function Shapes({ camera, onAnew }: { camera: Camera; onAnew: () => void }) {
  // What the server has when the page opens: what comes meanwhile does not take the pen out of anybody's hand.
  const [first] = useState(() => shapesOf(camera));
  const [firstRate] = useState(camera.fps.wanted);
  const [firstClasses] = useState(camera.classes);
  const [version] = useState(camera.version);
  const [picture] = useState(() => `/api/v1/snapshot?${new URLSearchParams({ camera: camera.name, width: String(PICTURE_WIDTH) })}`);
  const shapes = useSignal<Shape[]>(first);
  const chosen = useSignal(0);
  const fps = useSignal(String(firstRate));
  const classes = useSignal<readonly string[]>(firstClasses);
  const { busy, error, run } = useTask();
  const rate = Number(fps.value.replace(',', '.'));
  const sameClasses = classes.value.join() === firstClasses.join();
  const stale = camera.managed && busy.value === '' && camera.version !== version;
  const problem = shapesProblem(shapes.value) || (classes.value.length === 0 ? 'Choose at least one kind of what is counted.' : '') || (fps.value.trim() !== '' && rate >= 0 && rate <= FPS_MAX ? '' : `Pictures a second: a number from 0 to ${FPS_MAX}.`);
  // Like what the page began with, or what the server has by now: nothing is lost then.
  const mine = useUnsaved(
    (fps.value !== String(firstRate) && rate !== camera.fps.wanted) ||
    (!sameClasses && classes.value.join() !== camera.classes.join()) ||
    (!sameShapes(shapes.value, first) && !sameShapes(shapes.value, shapesOf(camera))),
  );
  const renamed = first.filter((one) => !shapes.value.some((shape) => shape.name === one.name && shape.kind === one.kind));

  const replace = (shape: Shape): void => void (shapes.value = shapes.value.map((one) => (one.id === shape.id ? shape : one)));
  const add = (kind: Shape['kind']): void => {
    shapes.value = [...shapes.value, newShape(kind, freeShapeName(shapes.value, kind))];
    chosen.value = shapes.value.length - 1;
  };
  const remove = (index: number): void => {
    shapes.value = shapes.value.filter((_, at) => at !== index);
    chosen.value = Math.max(0, Math.min(chosen.value, shapes.value.length - 1));
  };
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (problem !== '' || !camera.managed || !(await maySaveAlone(mine))) return;
    void run('Saving…', (signal) =>
      change(camera.name, {
        ...toCounters(shapes.value),
        ...(rate === firstRate ? {} : { detect: { fps: rate } }),
        ...(sameClasses ? {} : { objects: { track: classes.value } }),
      }, signal, version));
  };
  return (
    <form class="card add-card" onSubmit={save}>
      <h2>What is counted</h2>
      <p class="quiet">
        Drag the points, or move them with the arrow keys; a small point in the middle of an edge becomes a further one.
        Everything whose feet or wheels cross a line, or are inside a zone, is counted.
      </p>
      <ShapeDrawing
        picture={picture} width={camera.width || 16} height={camera.height || 9} shapes={shapes.value} chosen={chosen.value}
        onChoose={(index) => (chosen.value = index)} onChange={replace}
      />
      <ul class="edit-shapes">
        {shapes.value.map((shape, index) => (
          <ShapeRow
            key={shape.id} shape={shape} chosen={index === chosen.value} onChoose={() => (chosen.value = index)}
            onChange={replace} onRemove={() => remove(index)}
          />
        ))}
      </ul>
      <div class="add-actions">
        <button type="button" class="button" onClick={() => add('line')}><PlusIcon />A line</button>
        <button type="button" class="button" onClick={() => add('zone')}><PlusIcon />A zone</button>
      </div>
      {renamed.length > 0 && (
        <p class="advice">
          {renamed.map((one) => `“${one.name}”`).join(', ')} {renamed.length === 1 ? 'ends' : 'end'} with this: what was counted
          stays in the history, and another name begins at zero.
        </p>
      )}
      <Classes classes={classes} />
      {camera.managed
        ? <Saving fps={fps} problem={problem} busy={busy.value} error={error.value} stale={stale} onAnew={onAnew} />
        : <AsText text={toYaml(shapes.value, sameClasses ? undefined : classes.value)} problem={problem} />}
    </form>
  );
}

interface RowProperties {
  shape: Shape;
  chosen: boolean;
  onChoose: () => void;
  onChange: (shape: Shape) => void;
  onRemove: () => void;
}

function ShapeRow({ shape, chosen, onChoose, onChange, onRemove }: RowProperties) {
  const field = (label: string, key: 'name' | 'aToB' | 'bToA', kind = '') => (
    <label class={kind}>{label}
      <input class="field" name={key} maxLength={60} value={shape[key]} onFocus={onChoose}
        onInput={(event) => onChange({ ...shape, [key]: event.currentTarget.value })} />
    </label>
  );
  return (
    <li class={chosen ? 'chosen' : ''} onClick={onChoose}>
      {field(shape.kind === 'line' ? 'Line' : 'Zone', 'name')}
      {shape.kind === 'line' && field('This way', 'aToB', 'towards-b')}
      {shape.kind === 'line' && field('That way', 'bToA', 'towards-a')}
      <span class="edit-actions">
        {shape.kind === 'line' && (
          <button type="button" class="button" onClick={() => onChange({ ...shape, points: [...shape.points].reverse() })}>Swap</button>
        )}
        <button type="button" class="button" aria-label={`Take ${shape.name} away`} onClick={(event) => { event.stopPropagation(); onRemove(); }}>Take away</button>
      </span>
    </li>
  );
}

function Classes({ classes }: { classes: Signal<readonly string[]> }) {
  return (
    <fieldset class="edit-classes">
      <legend>What is counted at all</legend>
      {CLASSES.map((name) => (
        <label key={name}>
          <input type="checkbox" name={`class-${name}`} checked={classes.value.includes(name)}
            onChange={(event) => (classes.value = withClass(classes.value, name, event.currentTarget.checked))} />
          {name}
        </label>
      ))}
    </fieldset>
  );
}

interface SavingProperties {
  fps: Signal<string>;
  problem: string;
  busy: string;
  error: string;
  stale: boolean;
  onAnew: () => void;
}

function Saving({ fps, problem, busy, error, stale, onAnew }: SavingProperties) {
  return (
    <>
      <label class="edit-rate">Pictures analysed each second (0: every one)
        <input class="field" name="fps" inputMode="decimal" value={fps.value} onInput={(event) => (fps.value = event.currentTarget.value)} />
      </label>
      <p class="bad-text" role="alert">{problem}</p>
      <Busy words={busy} />
      {!stale && <Wrong words={error} />}
      {stale && (
        <div class="edit-stale" role="alert">
          <p>This camera was changed meanwhile, by somebody else or in another window: what stands here is not saved over that.</p>
          <button type="button" class="button" onClick={onAnew}>Begin anew with what it is now</button>
        </div>
      )}
      <button type="submit" class="button button-main" disabled={problem !== '' || busy !== '' || stale}>Save</button>
    </>
  );
}

function AsText({ text, problem }: { text: string; problem: string }) {
  const copied = useSignal(false);
  const copy = (): void => void navigator.clipboard.writeText(text).then(() => (copied.value = true), () => undefined);
  if (problem !== '') return <p class="bad-text" role="alert">{problem}</p>;
  return (
    <>
      <p>
        This camera stands in the server’s configuration file and is changed there: put these lines under its name, in
        place of those of the same names. The file is read again as soon as it is saved.
      </p>
      <pre class="edit-text">{text}</pre>
      {/* Without TLS a browser gives pages no clipboard. */}
      {'clipboard' in navigator && <button type="button" class="button" onClick={copy}>{copied.value ? 'Copied' : 'Copy'}</button>}
    </>
  );
}

// ---- sign-in and end ----

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return <div class="card add-card"><h2>{title}</h2>{children}</div>;
}

function SignInAnew({ camera }: { camera: Camera }) {
  const user = useSignal('');
  const password = useSignal('');
  const { busy, error, run } = useTask();
  const mine = useUnsaved(user.value !== '' || password.value !== '');
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!(await maySaveAlone(mine))) return;
    void run('Saving…', (signal) => change(camera.name, { user: user.value, password: password.value }, signal));
  };
  return (
    <Part title="User and password">
      <form onSubmit={save}>
        <p class="quiet">When they have been changed in the camera. They are kept encrypted on the server and are never shown again.</p>
        <div class="add-fields">
          <label>User
            <input class="field" name="user" autocomplete="off" spellcheck={false} value={user.value} onInput={(event) => (user.value = event.currentTarget.value)} />
          </label>
          <label>Password
            <input class="field" type="password" name="password" autocomplete="off" value={password.value} onInput={(event) => (password.value = event.currentTarget.value)} />
          </label>
        </div>
        <Busy words={busy.value} />
        <Wrong words={error.value} />
        <button type="submit" class="button" disabled={user.value === '' || busy.value !== ''}>Save and connect again</button>
      </form>
    </Part>
  );
}

function Removal({ camera }: { camera: Camera }) {
  const asked = useSignal(false);
  const { busy, error, run } = useTask();
  const remove = (): void => void run('Removing…', async (signal) => {
    await runJob({ do: 'remove_camera', name: camera.name }, signal);
    forgetUnsaved();
    await loadCameras();
    location.hash = '#/';
  });
  return (
    <Part title="Remove the camera">
      <p class="quiet">What it has counted stays in the ledger{camera.source.startsWith('upload:') ? '; its video is deleted' : ''}.</p>
      <Busy words={busy.value} />
      <Wrong words={error.value} />
      {asked.value ? (
        <div class="add-actions">
          <button type="button" class="button button-bad" ref={(element) => element?.focus()} disabled={busy.value !== ''} onClick={remove}>Remove {camera.name}</button>
          <button type="button" class="button" onClick={() => (asked.value = false)}>Keep it</button>
        </div>
      ) : (
        <button type="button" class="button" onClick={() => (asked.value = true)}>Remove…</button>
      )}
    </Part>
  );
}
