import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLASSES, freeShapeName, moved, newShape, sameShapes, shapesOf, shapesProblem, toCounters, toYaml, withClass, withoutPoint, withPoint } from '../../web/src/data/shapes';
import { readCameras } from '../../web/src/state/protocol';

const ALL = ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck'];
const camera = readCameras({ cameras: [{
  name: 'gate',
  lines: [{ name: 'door', coordinates: [[0.25, 0.5], [0.75, 0.5]], a_to_b: 'in', b_to_a: 'out', classes: ALL }],
  zones: [{ name: 'queue, left', coordinates: [[0, 0], [0.333333, 0], [0.3, 1]], classes: ['person'], inertia: 5 }],
}] })[0]!;

test('shapes: what a camera has goes back to the server as it was', () => {
  assert.deepEqual(toCounters(shapesOf(camera)), {
    lines: { door: { coordinates: '0.25,0.5,0.75,0.5', directions: { a_to_b: 'in', b_to_a: 'out' } } },
    zones: { 'queue, left': { coordinates: '0,0,0.333333,0,0.3,1', objects: ['person'], inertia: 5 } },
  });
});

test('shapes: points stay in the picture and are bounded in number', () => {
  const line = newShape('line', 'door');
  assert.deepEqual(moved(line, 0, [-3, 0.4]).points[0], [0, 0.4]);
  assert.deepEqual(moved(line, 0, [2 / 3, 0.00001]).points[0], [0.6667, 0]);
  let many = line;
  for (let each = 0; each < 40; each += 1) many = withPoint(many, 1, [0.5, 0.5]);
  assert.equal(many.points.length, 16);
  assert.deepEqual(withoutPoint(withPoint(line, 1, [0.5, 0.1]), 1).points, line.points);
});

test('shapes: names are checked before the server has to', () => {
  const [door, queue] = shapesOf(camera);
  assert.equal(shapesProblem([door!, queue!]), '');
  assert.match(shapesProblem([{ ...door!, bToA: ' ' }]), /needs a name/);
  assert.match(shapesProblem([door!, { ...queue!, name: 'door' }]), /Two/);
  assert.match(shapesProblem([{ ...door!, name: 'a/b' }]), /must not hold/);
  assert.equal(freeShapeName([door!], 'door'), 'door 2');
});

test('shapes: as text for the configuration file', () => {
  assert.equal(toYaml(shapesOf(camera)), [
    '    lines:', '      door:', '        coordinates: "0.25,0.5,0.75,0.5"', '        directions: {a_to_b: in, b_to_a: out}',
    '    zones:', '      "queue, left":', '        coordinates: "0,0,0.333333,0,0.3,1"', '        objects: [person]', '        inertia: 5', '',
  ].join('\n'));
});

test('shapes: classes are put in and taken out in their own order', () => {
  assert.deepEqual([...CLASSES], ALL);
  assert.deepEqual(withClass(['truck', 'person'], 'car', true), ['person', 'car', 'truck']);
  assert.deepEqual(withClass(['person', 'car'], 'person', false), ['car']);
  assert.equal(toYaml([], ['car', 'bus']), '    objects: {track: [car, bus]}\n');
});

test('shapes: the same to the server, whatever their numbers on the page', () => {
  const line = newShape('line', 'door');
  assert.ok(sameShapes([line], [newShape('line', 'door')]));
  assert.ok(!sameShapes([line], [{ ...line, aToB: 'up' }]));
  assert.ok(!sameShapes([line], [{ ...line, points: [...line.points].reverse() }]));
  assert.ok(!sameShapes([line], []));
});
