#!/usr/bin/env node
// bench/reference_outputs.mjs MODEL.onnx OUT [INPUT.bin]
//
// What ONNX Runtime gives for a model: OUT.bin has all outputs as float32, one after the other, and
// OUT.json their names and sizes and the input's. Without INPUT.bin (float32) the input is noise in
// 0..1 from a fixed generator, which is written to OUT.input.bin. onnxruntime-node is found through
// NODE_PATH, or beside this file.
import {createRequire} from 'node:module';
import {readFileSync, writeFileSync} from 'node:fs';

const load = createRequire(import.meta.url);

function runtime() {
    for (const folder of ['', ...(process.env.NODE_PATH || '').split(':').filter(Boolean)])
        try {
            return load(folder ? `${folder}/onnxruntime-node` : 'onnxruntime-node');
        } catch (error) {
            if (error.code !== 'MODULE_NOT_FOUND') throw error;
        }
    console.error('onnxruntime-node is not installed: npm install onnxruntime-node, then NODE_PATH=.../node_modules');
    process.exit(3);
}

function noise(count) {
    const out = new Float32Array(count);
    let state = 2463534242;
    for (let i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        out[i] = (state >>> 0) / 4294967296;
    }
    return out;
}

const [modelPath, out, inputPath] = process.argv.slice(2);
if (!out) {
    console.error('usage: reference_outputs.mjs MODEL.onnx OUT [INPUT.bin]');
    process.exit(2);
}
const ort = runtime();
const session = await ort.InferenceSession.create(modelPath, {
    intraOpNumThreads: 1, logSeverityLevel: 3,
});
const info = session.inputMetadata[0];
const shape = info.shape.map(d => typeof d === 'number' && d > 0 ? d : 1);
const count = shape.reduce((a, b) => a * b, 1);
let input;
if (inputPath) {
    const bytes = readFileSync(inputPath);
    input = new Float32Array(bytes.buffer, bytes.byteOffset, count);
} else {
    input = noise(count);
    writeFileSync(`${out}.input.bin`, Buffer.from(input.buffer));
}
const results = await session.run({[info.name]: new ort.Tensor('float32', input, shape)});
const sizes = [];
const parts = [];
for (const name of session.outputNames) {
    const floats = Float32Array.from(results[name].data, Number);
    parts.push(Buffer.from(floats.buffer));
    sizes.push({name, shape: results[name].dims});
}
writeFileSync(`${out}.bin`, Buffer.concat(parts));
writeFileSync(`${out}.json`, JSON.stringify({input: {name: info.name, shape}, outputs: sizes}));
