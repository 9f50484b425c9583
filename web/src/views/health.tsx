// Is everything well? If not: what, what it means for the counts, and what to do.

import { useEffect } from 'preact/hooks';
import { count, percent, rate } from '../data/format';
import { keepsUp, problemWords, stateAdvice } from '../data/words';
import { StateBadge } from '../parts/badge';
import { GoodIcon, WarnIcon } from '../parts/icons';
import type { Camera, Problem } from '../state/protocol';
import { cameraHref } from '../state/route';
import { cameras, health, version, watchCameras } from '../state/store';
import { Loading } from './wall';

export function HealthView() {
  useEffect(watchCameras, []);
  const state = health.value;
  if (cameras.value === null || state === null) return <Loading />;
  return (
    <section class="health-view">
      <header class="head"><h1 tabIndex={-1}>Health</h1></header>
      <div class={`verdict verdict-${state.status}`}>
        {state.status === 'ready' ? <GoodIcon /> : <WarnIcon />}
        <div>
          <h2>{{ ready: 'All is well', degraded: 'It counts, but not everything is well', not_ready: 'It cannot do its work' }[state.status]}</h2>
          <p>{{
            ready: 'Pictures are analysed and every count is on disk.',
            degraded: 'See below what is affected. What is not named here works.',
            not_ready: 'Counts may be missing or unsafe until this is solved.',
          }[state.status]}</p>
        </div>
      </div>
      {[...grouped(state.problems)].map(([what, texts]) => {
        const words = problemWords(what);
        return (
          <div class="card problem" key={what}>
            <h2><WarnIcon />{words.title}</h2>
            {texts.map((text, index) => <p class="problem-text" key={index}>{text}</p>)}
            {words.meaning !== '' && <p>{words.meaning}</p>}
            {words.advice !== '' && <p class="advice">{words.advice}</p>}
          </div>
        );
      })}
      <div class="card">
        <h2>Cameras</h2>
        {cameras.value.length === 0 ? (
          <p class="empty-small">No camera yet: <a href="#/add">add one</a>.</p>
        ) : (
          <CameraTable cameras={cameras.value} />
        )}
      </div>
      {version.value !== null && (
        <p class="quiet small-print">
          {[`Sightline ${version.value.version}`, version.value.model, version.value.backend].filter(Boolean).join(' · ')}
        </p>
      )}
    </section>
  );
}

/** Ten dark cameras are one problem with ten lines, not ten problems. */
function grouped(problems: readonly Problem[]): Map<string, string[]> {
  const result = new Map<string, string[]>();
  for (const problem of problems) {
    const texts = result.get(problem.what) ?? [];
    if (problem.text !== '') texts.push(problem.text);
    result.set(problem.what, texts);
  }
  return result;
}

function CameraTable({ cameras: list }: { cameras: Camera[] }) {
  return (
    <div class="table-box" tabIndex={0} role="region" aria-label="Cameras">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Camera</th>
            <th scope="col">State</th>
            <th scope="col" class="number">Analysed / wanted fps</th>
            <th scope="col" class="number">Coverage</th>
            <th scope="col" class="number">Dropped</th>
            <th scope="col" class="number">Reconnects</th>
            <th scope="col" class="number">Errors</th>
          </tr>
        </thead>
        <tbody>
          {list.map((camera) => (
            <tr key={camera.name}>
              <th scope="row">
                <a href={cameraHref(camera.name)}>{camera.name}</a>
              </th>
              <td class="cell-state">
                <StateBadge state={camera.state} />
                {camera.state !== 'streaming' && camera.reason !== '' && <p class="cell-note">{camera.reason}</p>}
                {stateAdvice(camera) !== '' && <p class="cell-note quiet">{stateAdvice(camera)}</p>}
              </td>
              <td class={`number${keepsUp(camera) ? '' : ' warn-text'}`}>
                {rate(camera.fps.analysed)} / {camera.fps.wanted > 0 ? rate(camera.fps.wanted) : 'all'}
              </td>
              <td class="number">{camera.coverage === null ? '–' : percent(camera.coverage)}</td>
              <td class="number">{count(camera.frames.dropped)}</td>
              <td class="number">{count(camera.reconnects)}</td>
              <td class="number">{count(camera.decodeErrors + camera.packetsLost)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
