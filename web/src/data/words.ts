// What states and problems mean, and what a person can do about them.

import type { Camera, CameraState, CountEvent, Line } from '../state/protocol';

export type Tone = 'good' | 'busy' | 'bad' | 'quiet';

export const STATE_TONE: Record<CameraState, Tone> = {
  streaming: 'good',
  connecting: 'busy',
  backoff: 'bad',
  stalled: 'bad',
  idle: 'quiet',
  ended: 'quiet',
};
export const STATE_NAME: Record<CameraState, string> = {
  streaming: 'Streaming',
  connecting: 'Connecting',
  backoff: 'Waiting to retry',
  stalled: 'Stalled',
  idle: 'Not started',
  ended: 'Ended',
};

/** One sentence on how the camera is, for somebody who has never seen the source code. */
export function stateSentence(camera: Camera): string {
  switch (camera.state) {
    case 'streaming':
      return 'Pictures arrive and are analysed.';
    case 'connecting':
      return 'The server is opening the stream.';
    case 'backoff':
      return 'The last attempt failed. The server tries again by itself; other cameras go on.';
    case 'stalled':
      return 'The connection is open but no picture has arrived for some seconds.';
    case 'ended':
      return 'The file has been played to its end and does not loop.';
    case 'idle':
      return 'The camera is configured but has not been started.';
  }
}

/** What to do; "" when there is nothing to do. */
export function stateAdvice({ state, reason, managed, source }: Pick<Camera, 'state' | 'reason' | 'managed' | 'source'>): string {
  const isFile = source !== '' && !source.includes('://');
  const place = managed ? 'under “Lines, zones, settings” of this camera' : 'in the configuration file';
  switch (state) {
    case 'backoff':
      if (isFile)
        return managed
          ? 'Upload the video again as a new camera, and remove this one.'
          : 'Check that the file is at this path in the configuration file, that the server may read it, and that it is a video. The server tries again by itself.';
      if (/password|credentials|\b401\b/i.test(reason)) return `Correct its user and password ${place}.`;
      return `Check that the camera has power and network, and that its address${managed ? '' : ' in the configuration file'} is right.`;
    case 'stalled':
      if (isFile) return 'Check the disk or the share that the file lies on. The server tries again by itself.';
      return 'Check the network between camera and server; if it lasts, restart the camera. The server reconnects by itself.';
    case 'ended':
      return managed ? '' : 'Set “loop: true” for this file in the configuration to play it again and again.';
    case 'idle':
      return 'Set “enabled: true” for this camera in the configuration.';
    default:
      return '';
  }
}

export interface ProblemWords {
  title: string;
  meaning: string;
  advice: string;
}

/** `what` of the server's problems; one that is not known here still shows the server's own text. */
export function problemWords(what: string): ProblemWords {
  switch (what) {
    case 'ledger':
      return {
        title: 'The ledger has a problem',
        meaning: 'New counts may be held in memory only; they are not safe until this is solved.',
        advice: 'Look at the free space and the rights of the data folder. Do not restart the server before it is solved: what waits in memory would be lost.',
      };
    case 'disk':
      return {
        title: 'The disk is nearly full',
        meaning: 'Counting goes on. Without room new counts are held in memory for some minutes, then they are lost.',
        advice: 'Make room on the disk of the data folder, or give it a larger one.',
      };
    case 'redis':
      return {
        title: 'Redis is not reachable',
        meaning: 'Counting goes on and nothing is lost; other programs that read from Redis see old figures.',
        advice: 'Check that Redis runs and that its address in the configuration is right. The server brings it up to date by itself.',
      };
    case 'camera':
      return {
        title: 'Not every camera delivers whole pictures',
        meaning: 'Time without pictures is a gap in the history, not a zero; damaged ones may hide who passes. The other cameras go on.',
        advice: 'See under “Cameras” what is wrong with each. The server tries again by itself.',
      };
    case 'model':
      return {
        title: 'The detector is not running',
        meaning: 'Without it nothing is detected and nothing is counted.',
        advice: 'Check the model file in the configuration with “sightline model check FILE”.',
      };
    case 'load':
      return {
        title: 'This machine cannot keep up',
        meaning: 'Fewer pictures are analysed than wanted. Fast objects may be missed; where pictures are further apart than a second, the history has a gap.',
        advice: 'Lower “detect: fps” of some cameras, choose their smaller stream for counting, or give the server more processors.',
      };
    case 'configuration':
      return {
        title: 'The configuration is not the one that runs',
        meaning: 'The server goes on with what it had.',
        advice: 'If the file has a mistake, correct it: it is read again by itself. If a restart is needed, restart the server when it suits you; no count is lost.',
      };
    default:
      return { title: what === '' ? 'A problem' : `Problem: ${what}`, meaning: '', advice: '' };
  }
}

/** The user's name of an event's direction. */
export function directionName(event: CountEvent, lines: readonly Line[]): string {
  if (event.kind === 'zone_entry') return 'entered';
  if (event.kind === 'zone_exit') return 'left';
  const line = lines.find((one) => one.name === event.counter);
  if (line === undefined) return event.direction;
  return event.direction === 'a_to_b' ? line.aToB : line.bToA;
}

/** Why a live picture comes as JPEG: what this browser said of it, else what the camera sends; "" where that is JPEG itself. */
export function jpegReason(camera: Camera, fallback: string): string {
  if (fallback !== '' || camera.video !== 'h265') return fallback;
  return 'the camera sends H.265, which hardly any browser decodes: set its stream to H.264 for its own video';
}

/** Nothing moves in front of it, so the detector has nothing to do. */
export const rests = (camera: Camera): boolean => camera.analysis.startsWith('resting');

/** Analysed against wanted rate: false when the server cannot keep up. */
export function keepsUp(camera: Camera): boolean {
  if (camera.state !== 'streaming') return true;
  // The server knows: a camera that has just begun, or rests as nothing moves, is not slow.
  if (camera.analysis !== '') return camera.analysis === 'as wanted' || rests(camera);
  const wanted = camera.fps.wanted > 0 ? camera.fps.wanted : camera.fps.decoded;
  // A camera that sends fewer pictures than wanted is not the server's failure.
  const possible = camera.fps.decoded > 0 ? Math.min(wanted, camera.fps.decoded) : wanted;
  return camera.fps.analysed >= possible * 0.85;
}
