// A video file of the user's own in the place of a camera: chosen, sent with its progress, looked at by the server.

import { useSignal } from '@preact/signals';
import type { Job } from '../state/jobs';
import { uploadVideo } from '../state/upload';
import { Busy, useTask, Wrong } from './task';

interface VideoFileProperties {
  /** It has come whole, and the server has seen its first picture. */
  onReady: (job: Job, title: string) => void;
  /** Sending begins or ends: then nothing else of the page may lead away. */
  onBusy: (busy: boolean) => void;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

export function VideoFile({ onReady, onBusy }: VideoFileProperties) {
  const sent = useSignal(0);
  const whole = useSignal(0);
  const { busy, error, run, stop } = useTask();
  const send = async (file: File): Promise<void> => {
    sent.value = 0;
    whole.value = file.size;
    onBusy(true);
    await run(`Sending ${file.name}…`, async (signal) => {
      const job = await uploadVideo(file, signal, (received) => {
        sent.value = received;
        if (received === file.size) busy.value = 'Looking at the video…';
      });
      onReady(job, file.name.replace(/\.[^.]+$/, ''));
    });
    onBusy(false);
  };
  return (
    <div class="add-video">
      <label>Or a video file
        <input
          class="field" type="file" name="video" accept="video/*,.mkv,.avi,.ts,.mts,.dav" disabled={busy.value !== ''}
          onChange={(event) => { const file = event.currentTarget.files?.[0]; if (file) void send(file); }}
        />
      </label>
      {busy.value !== '' && (
        <div class="add-sending">
          <progress
            class="add-progress" max={whole.value} value={sent.value} aria-label="Sending the video"
            aria-valuetext={`${megabytes(sent.value)} of ${megabytes(whole.value)}`}
          />
          <span class="quiet" aria-hidden="true">{megabytes(sent.value)} of {megabytes(whole.value)}</span>
          <button type="button" class="button" onClick={stop}>Cancel</button>
        </div>
      )}
      <Busy words={busy.value} />
      <Wrong words={error.value} />
    </div>
  );
}
