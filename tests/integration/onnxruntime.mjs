// For onnxruntime.t: every model of a folder through ONNX Runtime. X.onnx takes the numbers of X.in (float32) and should give
// those of X.out; one line of JSON for each model says by how much it does not.
//
// Without the runtime's own optimizations: it is to say what the operators mean.
import {createRequire} from 'node:module';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';

const load = createRequire(import.meta.url);
const ort = load(join(process.argv[2], 'onnxruntime-node'));
const folder = process.argv[3];

function floats(path) {
    const bytes = readFileSync(path);
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

function worst(got, wanted) {
    let most = got.length === wanted.length ? 0 : 1e30;
    for (let i = 0; i < got.length && i < wanted.length; i++) {
        const error = Math.abs(got[i] - wanted[i]) / (1 + Math.abs(wanted[i]));
        if (!(error <= most)) most = Number.isFinite(error) ? error : 1e30;
    }
    return most;
}

for (const name of readdirSync(folder).filter(file => file.endsWith('.onnx')).sort()) {
    const base = join(folder, name.slice(0, -5)), result = {model: name.slice(0, -5)};
    try {
        const session = await ort.InferenceSession.create(`${base}.onnx`, {
            intraOpNumThreads: 1, logSeverityLevel: 4, graphOptimizationLevel: 'disabled',
        });
        const input = session.inputMetadata[0];
        const outputs = await session.run({[input.name]: new ort.Tensor('float32', floats(`${base}.in`), input.shape)});
        result.worst = worst(Array.from(outputs[session.outputNames[0]].data, Number), floats(`${base}.out`));
    } catch (error) {
        result.error = String(error);
    }
    console.log(JSON.stringify(result));
}
