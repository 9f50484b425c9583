// What bench/inference.bench runs: [--json] [--quick]. The network and its head on one core, and on two
// (through the inference pool, and beside it what two threads get at all), against ONNX Runtime in the
// same run; then once more with our side held to AVX2. --quick leaves out the latter, the two cores and
// 8 bits. What is measured and how: bench/inference_bench.c, bench/two_cores.h.
//
// For 8 bits the models are calibrated first (`sightline model quantize`), on pictures of the test
// material, into a folder that goes at the end; how many boxes agree with float32 is counted on other
// pictures of the same clips. The YOLOv8n shape has random weights: its boxes mean nothing, so that it
// is calibrated for its speed alone, with every layer in 8 bits, and none of its boxes are counted.
import {execFileSync, spawnSync} from 'node:child_process';
import {copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
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

// One picture in so many is measured on, those half way between them are compared.
const CLIPS = {opendatacam_street: 20, vehicle_survaillance: 20, pedestrian_survaillance: 20,
    'one-by-one-person-detection': 60};
const PICTURES_OF_A_CLIP = 24;
const RANDOM_WEIGHTS = 'YOLOv8n shape 640';
const CALIBRATION_LIMIT_MS = 300000; // of one model

// {measured, compared}: folders of pictures; null, and said why, where they cannot be made.
function pictures(folder) {
    const places = {measured: join(folder, 'measured'), compared: join(folder, 'compared')};
    for (const [index, place] of Object.values(places).entries()) {
        mkdirSync(place);
        for (const [clip, every] of Object.entries(CLIPS)) {
            const select = `select='eq(mod(n,${every}),${every / 2 * index})'`;
            const made = spawnSync('ffmpeg', ['-v', 'error', '-i', join(material, 'videos', `${clip}.mp4`), '-vf',
                select, '-vsync', '0', '-frames:v', String(PICTURES_OF_A_CLIP), join(place, `${clip}_%03d.png`)]);
            if (made.status !== 0) {
                console.error(`inference: no pictures to calibrate on (${made.error || made.stderr}): no 8 bits`);
                return null;
            }
        }
    }
    return places;
}

function tool(args) {
    const result = spawnSync(join(build, 'bin/sightline'), ['model', ...args, '--json'],
        {encoding: 'utf8', timeout: CALIBRATION_LIMIT_MS});
    return result.status === 0 ? JSON.parse(result.stdout) : null;
}

// The list with calibrated models in it, and what the boxes of each say, by name.
function calibrate(list, folder) {
    const places = pictures(folder);
    const agreements = {};
    const calibrated = list.map(entry => {
        const [name, file] = entry.split('=');
        const random = name === RANDOM_WEIGHTS;
        const out = join(folder, `${name.replaceAll(' ', '_')}.onnx`);
        const report = places && tool(['quantize', file, '--calibrate', places.measured, '-o', out,
            ...(random ? ['--agreement', '1'] : [])]);
        if (!report) {
            console.error(`inference: ${name} could not be calibrated: no 8 bits`);
            return entry;
        }
        if (random) return `${name}=${out}`;
        const files = readdirSync(places.compared).map(picture => join(places.compared, picture));
        const compared = tool(['compare', out, ...files, '--backend', 'cpu']);
        agreements[name] = {kept: report.kept, layers: report.layers, rows: compared ? compared.rows : []};
        return `${name}=${out}`;
    });
    return {calibrated, agreements};
}

// Into each row what was counted for its model and precision.
function addAgreements(rows, agreements) {
    for (const row of rows) {
        const found = agreements[row.model];
        const counted = found && row.backend === 'cpu' && found.rows.find(one => one.precision === row.precision);
        if (!counted) continue;
        row.boxes = counted.boxes;
        row.boxes_share = counted.share;
        if (row.precision === 'int8') Object.assign(row, {layers: found.layers, layers_kept_f32: found.kept});
    }
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
    add(RANDOM_WEIGHTS, twin);
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
const folder = mkdtempSync(join(tmpdir(), 'sightline-bench-'));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
process.on('exit', () => rmSync(folder, {recursive: true, force: true}));
const {calibrated: list, agreements} = quick ? {calibrated: models(), agreements: {}} : calibrate(models(), folder);
const rows = run(program, [library, ...(quick ? [] : ['--two-cores']), ...list]).trim().split('\n').map(JSON.parse);
if (!quick) {
    const env = {...process.env, SIGHTLINE_CPU_ISA: 'avx2'};
    for (const line of run(program, [library, ...list], {env}).trim().split('\n')) {
        const row = JSON.parse(line);
        if (row.backend === 'cpu') rows.push(row);
    }
}
addAgreements(rows, agreements);
// What reads the JSON counts on these.
const KEYS = ['model', 'backend', 'precision', 'threads', 'ms', 'images_per_s', 'gflops', 'peak_share', 'ratio_to_onnxruntime'];
for (const row of rows)
    for (const key of KEYS)
        if (row[key] === undefined) throw new Error(`a row without ${key}: ${JSON.stringify(row)}`);
if (json) {
    console.log(JSON.stringify({rows}));
} else {
    const columns = [
        ['model', -18], ['backend', -12], ['precision', -5], ['isa', -6], ['threads', 2], ['condition', -13],
        ['ms', 9], ['images_per_s', 9], ['gflops', 7], ['peak_share', 6], ['ratio_to_onnxruntime', 6],
        ['ratio_low', 6], ['ratio_high', 6], ['max_error', 9],
    ];
    const pad = (text, width) => width < 0 ? String(text ?? '').padEnd(-width) : String(text ?? '').padStart(width);
    console.log('model              backend      prec. isa    th condition           ms  images/s GFLOP/s  of peak  ratio  from    to     error');
    for (const row of rows) console.log(columns.map(([key, width]) => pad(row[key], width)).join(' '));
    for (const row of rows.filter(one => one.of_one_worker !== undefined))
        console.log(`${row.model}, two workers of the pool, ${row.condition}: ${row.of_one_worker} of one worker's rate; ` +
            `two threads of multiply-adds alone get ${row.loop_of_one_thread} of one's: ${row.of_loop} of what they get`);
    for (const row of rows.filter(one => one.boxes_share !== undefined && one.isa === 'best'))
        console.log(`${row.model} ${row.precision}: ${(100 * row.boxes_share).toFixed(1)} % of ${row.boxes} boxes above 0.4 ` +
            'matched at IoU 0.9 on pictures that took no part' +
            (row.layers ? `, ${row.layers_kept_f32} of ${row.layers} layers kept in float32` : ''));
}
