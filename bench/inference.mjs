// What bench/inference.bench runs: [--json] [--quick]. The network and its head on one core, and on
// two, against ONNX Runtime in the same run; then once more with our side held to AVX2. --quick
// leaves out the latter and the two cores. What is measured and how: bench/inference_bench.c.
import {execFileSync, spawnSync} from 'node:child_process';
import {copyFileSync, existsSync, mkdirSync, readdirSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const build = process.env.SIGHTLINE_BUILD || join(here, '../build/release');
const work = join(build, 'bench/inference');
const material = process.env.SIGHTLINE_MATERIAL || join(here, '../../shared/material');
const json = process.argv.includes('--json');
const quick = process.argv.includes('--quick');

function run(program, args, options = {}) {
    const result = spawnSync(program, args, {
        stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 24, ...options,
    });
    if (result.error) throw result.error;
    if (result.status !== 0) process.exit(result.status || 1);
    return result.stdout;
}

// The package's own scripts are not run: they would fetch what is not needed here.
function peer() {
    const folder = join(work, 'onnxruntime');
    const arch = process.arch === 'x64' ? 'x64' : 'arm64';
    const installed = () => {
        const bin = join(folder, 'node_modules/onnxruntime-node/bin');
        const version = existsSync(bin) && readdirSync(bin).find(name => name.startsWith('napi'));
        const file = version && join(bin, version, 'linux', arch, 'libonnxruntime.so.1');
        return file && existsSync(file) ? file : null;
    };
    if (!installed()) {
        mkdirSync(folder, {recursive: true});
        for (const file of ['package.json', 'package-lock.json', '.npmrc'])
            copyFileSync(join(here, 'onnxruntime', file), join(folder, file));
        run('npm', ['ci', '--ignore-scripts', '--silent'], {cwd: folder});
    }
    return installed();
}

function models() {
    const list = [];
    const add = (name, file) => existsSync(file) && list.push(`${name}=${file}`);
    const foreign = (name, file) => { // with the weights where ONNX Runtime can fold them
        const source = join(material, 'models', file);
        const target = join(work, file);
        if (!existsSync(source)) return;
        run('python3', [join(here, 'own_weights.py'), source, target]);
        add(name, target);
    };
    foreign('YOLOX-nano 416', 'yolox_nano_coco_416.onnx');
    foreign('FastestDet 352', 'FastestDet.onnx');
    foreign('NanoDet-m 416', 'nanodet_m.onnx');
    const twin = join(work, 'yolov8n.onnx');
    if (!existsSync(twin))
        execFileSync('python3', [join(here, 'make_model.py'), 'yolov8n', twin], {stdio: 'ignore'});
    add('YOLOv8n shape 640', twin);
    add('default', join(here, '../gpu/models/default.onnx'));
    return list;
}

mkdirSync(work, {recursive: true});
const program = join(build, 'bench/inference_bench');
const library = peer();
if (!library) {
    console.error('inference: onnxruntime-node has no library for this machine');
    process.exit(1);
}
const list = models();
const rows = run(program, [library, ...(quick ? [] : ['--two-cores']), ...list]).trim().split('\n').map(JSON.parse);
if (!quick) {
    const env = {...process.env, SIGHTLINE_CPU_ISA: 'avx2'};
    for (const line of run(program, [library, ...list], {env}).trim().split('\n')) {
        const row = JSON.parse(line);
        if (row.backend === 'cpu') rows.push(row);
    }
}
if (json) {
    console.log(JSON.stringify({rows}));
} else {
    const columns = [
        ['model', -18], ['backend', -12], ['precision', -5], ['isa', -6], ['threads', 2], ['condition', -13],
        ['ms', 9], ['images_per_s', 9], ['gflops', 7], ['peak_share', 6], ['ratio_to_onnxruntime', 6],
        ['max_error', 9],
    ];
    const pad = (text, width) => width < 0 ? String(text).padEnd(-width) : String(text).padStart(width);
    console.log('model              backend      prec. isa    th condition           ms  images/s GFLOP/s  of peak  ratio     error');
    for (const row of rows) console.log(columns.map(([key, width]) => pad(row[key], width)).join(' '));
}
