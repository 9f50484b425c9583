#!/usr/bin/env node
// The dashboard's pure modules: bundles each *.test.ts beside this file with the esbuild that comes with the
// dashboard's packages, and runs them with node's own test runner, which prints TAP.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const build = process.env.SIGHTLINE_BUILD ?? join(root, 'build/release');
const packages = [join(root, 'web/node_modules'), resolve(build, 'web/node_modules')].find((folder) =>
  existsSync(join(folder, 'esbuild')),
);
if (packages === undefined) {
  process.stdout.write('1..0 # SKIP the dashboard has not been built: its packages are not there\n');
  process.exit(0);
}

const { build: bundle } = createRequire(join(packages, 'here.js'))('esbuild');
const output = mkdtempSync(join(tmpdir(), 'sightline-web-tests-'));
try {
  const names = readdirSync(here).filter((name) => name.endsWith('.test.ts')).sort();
  await bundle({
    entryPoints: names.map((name) => join(here, name)),
    outdir: output,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node18',
    define: { ROOT: JSON.stringify(pathToFileURL(`${root}/`).href) },
    logLevel: 'error',
  });
  const files = names.map((name) => join(output, name.replace(/\.ts$/, '.mjs')));
  const result = spawnSync(process.execPath, ['--test', '--test-reporter=tap', ...files], { stdio: 'inherit' });
  process.exitCode = result.status ?? 1;
} finally {
  rmSync(output, { recursive: true, force: true });
}
