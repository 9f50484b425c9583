import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fragment, initSegment, splitNals } from '../../web/src/video/fmp4';

test('fmp4: ffprobe reads times past 2^32, durations and key frames', (context) => {
  const made = spawnSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc=s=320x180:r=25:d=1', '-c:v', 'libx264', '-pix_fmt', 'yuv420p',
    '-preset', 'ultrafast', '-tune', 'zerolatency', '-x264-params', 'keyint=10:slices=1:aud=1', '-f', 'h264', 'pipe:1']);
  if (made.status !== 0) return context.skip('no ffmpeg with x264');
  const units: Uint8Array[][] = [];
  for (const nal of splitNals(made.stdout)) ((nal[0]! & 31) === 9 ? (units[units.push([]) - 1]!) : units.at(-1)!).push(nal);
  const bytes = units.map((nals) => Buffer.concat(nals.flatMap((nal) => [Buffer.from([0, 0, 0, 1]), nal])));
  const keys = units.map((nals) => nals.some((nal) => (nal[0]! & 31) === 5));
  const base = 2 ** 32 - 3600 * 5;
  const file = Buffer.concat([initSegment(bytes[0]!, 320, 180)!, ...bytes.map((unit, i) => fragment(unit, i + 1, base + i * 3600, 3600, keys[i]!))]);
  const probe = spawnSync('ffprobe', ['-v', 'error', '-show_entries', 'packet=dts,duration,flags:stream=width', '-of', 'json', '-'], { input: file, encoding: 'utf8' });
  assert.equal(probe.stderr, '');
  const { packets, streams } = JSON.parse(probe.stdout) as { packets: { dts: number; duration: number; flags: string }[]; streams: { width: number }[] };
  assert.equal(streams[0]?.width, 320);
  assert.deepEqual(packets.map((one) => one.dts), units.map((_, i) => base + i * 3600));
  assert.ok(packets.every((one) => one.duration === 3600));
  assert.deepEqual(packets.map((one) => one.flags.startsWith('K')), keys);
  assert.equal(keys.filter(Boolean).length, 3);
});
