// Adding a camera in four steps: find it, sign in to it, look at its picture and name it, draw the line.

import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { newShape, shapesProblem, toCounters, type Shape } from '../data/shapes';
import { ShapeDrawing } from '../parts/shape_drawing';
import { Busy, useTask, Wrong } from '../parts/task';
import { VideoFile } from '../parts/video_file';
import { ApiError } from '../state/api';
import { jobPicture, pictureWords, readDevices, readStreams, runJob, type Device, type Job, type Stream } from '../state/jobs';
import { cameraHref } from '../state/route';
import { cameras, loadCameras } from '../state/store';

const STEPS = ['Find', 'Sign in', 'Picture', 'Line'] as const;

interface Choice {
  /** Of the device service; empty when an address was typed. */
  service: string;
  address: string;
  title: string;
}

export function AddCamera() {
  const step = useSignal(0);
  const choice = useSignal<Choice | null>(null);
  const sign = useSignal({ user: '', password: '' });
  const streams = useSignal<Stream[]>([]);
  const address = useSignal('');
  const probe = useSignal<Job | null>(null);
  const name = useSignal('');
  const top = useRef<HTMLHeadingElement>(null);

  const go = (to: number): void => {
    step.value = to;
    queueMicrotask(() => top.current?.focus());
  };
  return (
    <section class="add">
      <header class="head"><h1 tabIndex={-1}>Add a camera</h1></header>
      <ol class="add-steps" aria-label="Steps">
        {STEPS.map((title, index) => (
          <li key={title} class={index === step.value ? 'here' : index < step.value ? 'past' : ''} aria-current={index === step.value ? 'step' : undefined}>
            <button type="button" disabled={index >= step.value || (index === 1 && choice.value === null)} onClick={() => go(index)}><b>{index + 1}</b>{title}</button>
          </li>
        ))}
      </ol>
      <div class="card add-card">
        {step.value === 0 && (
          <Find
            heading={top}
            onChoose={(chosen) => {
              choice.value = chosen;
              streams.value = [];
              address.value = chosen.address;
              go(1);
            }}
            onVideo={(job, title) => {
              choice.value = null;
              streams.value = [];
              sign.value = { user: '', password: '' };
              address.value = String(job.result['address'] ?? '');
              probe.value = job;
              if (name.value === '') name.value = freeName(title);
              go(2);
            }}
          />
        )}
        {step.value === 1 && choice.value !== null && (
          <SignInTo
            heading={top} choice={choice.value} sign={sign.value} onSign={(value) => (sign.value = value)}
            onFound={(found, chosenAddress, job) => {
              streams.value = found;
              address.value = chosenAddress;
              probe.value = job;
              if (name.value === '') name.value = freeName(choice.value?.title ?? '');
              go(2);
            }}
          />
        )}
        {step.value === 2 && probe.value !== null && (
          <LookAt
            heading={top} probe={probe.value} streams={streams.value} address={address.value} sign={sign.value}
            name={name.value} onName={(value) => (name.value = value)}
            onProbe={(job, from) => { probe.value = job; address.value = from; }}
            onNext={() => go(3)}
          />
        )}
        {step.value === 3 && probe.value !== null && (
          <Draw heading={top} probe={probe.value} address={address.value} view={viewOf(streams.value, address.value)} sign={sign.value} name={name.value} />
        )}
      </div>
    </section>
  );
}

interface Heading {
  heading: { current: HTMLHeadingElement | null };
}

function Title({ heading, children }: Heading & { children: ComponentChildren }) {
  return <h2 ref={(element) => { heading.current = element; }} tabIndex={-1}>{children}</h2>;
}


/** The larger stream of the same camera, for looking at it; "" when there is none. */
function viewOf(streams: readonly Stream[], address: string): string {
  const area = (stream: Stream): number => stream.width * stream.height;
  const counted = streams.find((stream) => stream.address === address);
  const view = streams.find((stream) => stream.role === 'view');
  return counted !== undefined && view !== undefined && area(view) > area(counted) ? view.address : '';
}

/** A name that no camera has yet, and that the server takes. */
function freeName(wish: string): string {
  const plain = wish.replaceAll('/', ' ').trim().slice(0, 50) || 'camera';
  const taken = new Set((cameras.value ?? []).map((camera) => camera.name));
  if (!taken.has(plain)) return plain;
  for (let number = 2; ; number += 1) if (!taken.has(`${plain} ${number}`)) return `${plain} ${number}`;
}

// ---- 1: find ----

interface FindProperties extends Heading {
  onChoose: (choice: Choice) => void;
  onVideo: (job: Job, title: string) => void;
}

function Find({ heading, onChoose, onVideo }: FindProperties) {
  const devices = useSignal<Device[] | null>(null);
  const progress = useSignal(0);
  const typed = useSignal('');
  const sending = useSignal(false);
  const { busy, error, run } = useTask();

  const look = (): void => void run('Looking for cameras on the network…', async (signal) => {
    devices.value = [];
    await runJob({ do: 'discover' }, signal, (job) => {
      devices.value = readDevices(job);
      progress.value = job.progress;
    });
  });
  useEffect(look, []);
  const take = (event: Event): void => {
    event.preventDefault();
    const text = typed.value.trim();
    if (text === '') return;
    const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : '';
    onChoose(address === ''
      ? { service: `http://${text}/onvif/device_service`, address: '', title: text }
      : { service: '', address, title: hostOf(address) });
  };
  return (
    <>
      <Title heading={heading}>Which camera?</Title>
      {busy.value !== '' && <progress class="add-progress" max={1} value={progress.value} aria-label="Looking for cameras" />}
      <Busy words={busy.value} />
      <Wrong words={error.value} />
      {(devices.value ?? []).length > 0 && (
        <ul class="add-devices">
          {devices.value!.map((device) => (
            <li key={device.service}>
              <button type="button" disabled={sending.value} onClick={() => onChoose({ service: device.service, address: '', title: device.name || device.hardware || device.host })}>
                <b>{device.name || device.hardware || 'A camera'}</b>
                <span class="quiet">{[device.hardware, device.location].filter((one) => one !== '').join(' · ')}</span>
                <code>{device.host}</code>
              </button>
            </li>
          ))}
        </ul>
      )}
      {busy.value === '' && error.value === '' && devices.value?.length === 0 && (
        <p class="quiet">No camera answered. Many have ONVIF switched off, and a container sees only its own network: type the camera’s address below.</p>
      )}
      <p><button type="button" class="button" disabled={busy.value !== ''} onClick={look}>Look again</button></p>
      <form class="add-row" onSubmit={take}>
        <label>Or its address
          <input
            class="field" name="address" placeholder="192.168.1.20 or rtsp://192.168.1.20/stream" autocomplete="off" spellcheck={false}
            value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="button button-main" disabled={typed.value.trim() === '' || sending.value}>Next</button>
      </form>
      <VideoFile onReady={onVideo} onBusy={(now) => (sending.value = now)} />
    </>
  );
}

function hostOf(address: string): string {
  return /^[^:]+:\/\/(?:[^@/]*@)?([^:/?#]+)/.exec(address)?.[1] ?? 'camera';
}

// ---- 2: sign in ----

interface Sign {
  user: string;
  password: string;
}

interface SignInProperties extends Heading {
  choice: Choice;
  sign: Sign;
  onSign: (sign: Sign) => void;
  onFound: (streams: Stream[], address: string, probe: Job) => void;
}

function SignInTo({ heading, choice, sign, onSign, onFound }: SignInProperties) {
  const { busy, error, run } = useTask();
  const submit = (event: Event): void => {
    event.preventDefault();
    void run('Asking the camera…', async (signal) => {
      let found: Stream[] = [];
      let address = choice.address;
      if (choice.service !== '') {
        found = readStreams(await runJob({ do: 'streams', service: choice.service, ...sign }, signal));
        address = (found.find((stream) => stream.role === 'detect') ?? found[0])?.address ?? '';
        if (address === '') throw new ApiError(0, 'The camera names no stream.');
      }
      onFound(found, address, await runJob({ do: 'probe', address, ...sign }, signal));
    });
  };
  return (
    <form onSubmit={submit}>
      <Title heading={heading}>Sign in to {choice.title}</Title>
      <p class="quiet">The user and the password of the camera itself. They are kept encrypted on the server. Leave both empty if it asks for none.</p>
      <div class="add-fields">
        <label>User
          <input class="field" name="user" autocomplete="off" spellcheck={false} value={sign.user}
            onInput={(event) => onSign({ ...sign, user: event.currentTarget.value })} />
        </label>
        <label>Password
          <input class="field" type="password" name="password" autocomplete="off" value={sign.password}
            onInput={(event) => onSign({ ...sign, password: event.currentTarget.value })} />
        </label>
      </div>
      <Busy words={busy.value} />
      <Wrong words={error.value} />
      <button type="submit" class="button button-main" disabled={busy.value !== ''}>Show its picture</button>
    </form>
  );
}

// ---- 3: picture and name ----

interface LookProperties extends Heading {
  probe: Job;
  streams: Stream[];
  address: string;
  sign: Sign;
  name: string;
  onName: (name: string) => void;
  onProbe: (probe: Job, address: string) => void;
  onNext: () => void;
}

function LookAt({ heading, probe, streams, address, sign, name, onName, onProbe, onNext }: LookProperties) {
  const { busy, error, run } = useTask();
  const problem = nameProblem(name);
  const change = (to: string): void => void run('Asking the camera…', async (signal) => {
    onProbe(await runJob({ do: 'probe', address: to, ...sign }, signal), to);
  });
  return (
    <form onSubmit={(event) => { event.preventDefault(); if (problem === '') onNext(); }}>
      <Title heading={heading}>Is this the one?</Title>
      <figure class="add-picture">
        <img src={jobPicture(probe)} alt="What the camera sees now" />
        <figcaption>{pictureWords(probe)}</figcaption>
      </figure>
      {streams.length > 1 && (
        <label>Stream to count on
          <select class="field" value={address} disabled={busy.value !== ''} onChange={(event) => change(event.currentTarget.value)}>
            {streams.map((stream) => (
              <option key={stream.address} value={stream.address}>
                {stream.name} – {stream.codec} {stream.width} × {stream.height}{stream.role === 'detect' ? ' (recommended)' : ''}
              </option>
            ))}
          </select>
        </label>
      )}
      <Busy words={busy.value} />
      <Wrong words={error.value} />
      <label>Name
        <input class="field" name="name" required maxLength={60} value={name} aria-invalid={problem !== ''} aria-describedby="name-problem"
          onInput={(event) => onName(event.currentTarget.value)} />
      </label>
      <p id="name-problem" class="bad-text" role="alert">{problem}</p>
      <button type="submit" class="button button-main" disabled={problem !== '' || busy.value !== ''}>Next: the line</button>
    </form>
  );
}

function nameProblem(name: string): string {
  if (name.trim() === '') return 'Give it a name.';
  if (name.includes('/')) return 'A name must not hold “/”.';
  if (name !== name.trim()) return 'A name must not begin or end with a space.';
  if ((cameras.value ?? []).some((camera) => camera.name === name)) return 'Another camera has this name.';
  return '';
}

// ---- 4: the line ----

interface DrawProperties extends Heading {
  probe: Job;
  address: string;
  /** The stream that is shown large; empty: the same. */
  view: string;
  sign: Sign;
  name: string;
}

function Draw({ heading, probe, address, view, sign, name }: DrawProperties) {
  const line = useSignal<Shape>(newShape('line', 'entrance'));
  const loop = useSignal(false);
  const isVideo = address.startsWith('upload:');
  const { busy, error, run } = useTask();
  const change = (to: Partial<Shape>): void => { line.value = { ...line.value, ...to }; };
  const save = (withLine: boolean): void => void run('Saving…', async (signal) => {
    const inputs = view === '' ? [{ path: address }] : [{ path: address, roles: ['detect'] }, { path: view, roles: ['view'] }];
    await runJob({
      do: 'set_camera', name,
      camera: {
        ffmpeg: { inputs },
        ...(sign.user === '' ? {} : sign),
        ...(isVideo ? { loop: loop.value } : {}),
        ...(withLine ? toCounters([line.value]) : {}),
      },
    }, signal);
    await loadCameras();
    location.hash = cameraHref(name);
  });
  const problem = shapesProblem([line.value]);
  return (
    <form onSubmit={(event) => { event.preventDefault(); if (problem === '') save(true); }}>
      <Title heading={heading}>Where do you count?</Title>
      <p class="quiet">Drag the two ends, or move them with the arrow keys. Everything whose feet or wheels cross the line is counted, by direction. More lines, and zones, can be drawn later.</p>
      <ShapeDrawing
        picture={jobPicture(probe)} width={Number(probe.result['width']) || 16} height={Number(probe.result['height']) || 9}
        shapes={[line.value]} chosen={0} onChoose={() => undefined} onChange={(shape) => (line.value = shape)}
      />
      <div class="add-fields">
        <label>Name of the line
          <input class="field" name="line" maxLength={60} value={line.value.name} onInput={(event) => change({ name: event.currentTarget.value })} />
        </label>
        <label class="towards-b">This way is called
          <input class="field" name="a_to_b" maxLength={60} value={line.value.aToB} onInput={(event) => change({ aToB: event.currentTarget.value })} />
        </label>
        <label class="towards-a">That way is called
          <input class="field" name="b_to_a" maxLength={60} value={line.value.bToA} onInput={(event) => change({ bToA: event.currentTarget.value })} />
        </label>
      </div>
      {isVideo && (
        <label class="add-check">
          <input type="checkbox" name="loop" checked={loop.value} onChange={(event) => (loop.value = event.currentTarget.checked)} />
          Begin again at its end, and count again
        </label>
      )}
      <p class="bad-text" role="alert">{problem}</p>
      <Busy words={busy.value} />
      <Wrong words={error.value} />
      <div class="add-actions">
        <button type="submit" class="button button-main" disabled={problem !== '' || busy.value !== ''}>Add the camera</button>
        <button type="button" class="button" onClick={() => change({ points: [...line.value.points].reverse() })}>Swap the directions</button>
        <button type="button" class="button" disabled={busy.value !== ''} onClick={() => save(false)}>Add it without a line</button>
      </div>
    </form>
  );
}
