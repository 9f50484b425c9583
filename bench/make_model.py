#!/usr/bin/python3
"""bench/make_model.py FAMILY [--size N] [--classes N] [--width N] [--seed N] OUT.onnx

Makes a network of a known shape with random weights: for measurements, and for tests of what the
importer understands. The same arguments give the same bytes. `--list` names the families.
"""

import argparse
import sys

import models_other
import models_yolo
from onnx_writer import Model

FAMILIES = {
    # name: (function, usual input size, opset)
    'yolov5n': (models_yolo.yolov5, 640, 13),
    'yolov8n': (models_yolo.yolov8, 640, 17),
    'yolo11n': (models_yolo.yolo11, 640, 17),
    'yolov10n': (models_yolo.yolov10, 640, 17),
    'resnet18': (models_other.resnet18, 224, 13),
    'mobilenet_v3': (models_other.mobilenet_v3, 224, 14),
    'ssd_mobilenet': (models_other.ssd_mobilenet, 300, 13),
    'rtdetr': (models_other.rtdetr, 640, 17),
    'dfine': (models_other.dfine, 640, 17),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[1])
    parser.add_argument('family', nargs='?', choices=sorted(FAMILIES))
    parser.add_argument('out', nargs='?')
    parser.add_argument('--size', type=int, help='side of the input picture')
    parser.add_argument('--classes', type=int)
    parser.add_argument('--width', type=int, help='channels of the first layer')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--list', action='store_true')
    arguments = parser.parse_intermixed_args()
    if arguments.list:
        print('\n'.join(sorted(FAMILIES)))
        return 0
    if arguments.out is None:
        parser.error('a family and a file are wanted')
    build, size, opset = FAMILIES[arguments.family]
    model = Model(arguments.seed, opset)
    options = {k: getattr(arguments, k) for k in ('classes', 'width') if getattr(arguments, k)}
    build(model, arguments.size or size, **options)
    model.save(arguments.out)
    print('%s: %d nodes, %.2f million parameters' %
          (arguments.out, len(model.nodes), model.parameters / 1e6))
    return 0


if __name__ == '__main__':
    sys.exit(main())
