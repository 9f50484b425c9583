#!/usr/bin/python3
"""bench/own_weights.py IN.onnx OUT.onnx

Takes the weights off the list of a model's inputs, where files of old exporters have them. ONNX
Runtime folds nothing into a weight that a caller could replace, and would be measured slower than
it is.
"""

import sys

MODEL_GRAPH, GRAPH_INITIALIZER, GRAPH_INPUT = 7, 5, 11
TENSOR_NAME, INPUT_NAME = 8, 1


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, whole field, content of a length-delimited one or None) for each field."""
    at = 0
    while at < len(data):
        begin = at
        key, at = varint(data, at)
        content = None
        if key & 7 == 0:
            _, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            content = data[at:at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[key & 7]
        yield key >> 3, data[begin:at], content


def name_of(message, number):
    for field, _, content in fields(message):
        if field == number and content is not None:
            return bytes(content)
    return None


def encoded(number, content):
    out = bytearray()
    for value in (number << 3 | 2, len(content)):
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
    return bytes(out) + content


def strip(graph):
    weights = {name_of(content, TENSOR_NAME)
               for field, _, content in fields(graph) if field == GRAPH_INITIALIZER}
    return b''.join(bytes(whole) for field, whole, content in fields(graph)
                    if field != GRAPH_INPUT or name_of(content, INPUT_NAME) not in weights)


def main():
    source, target = sys.argv[1:]
    with open(source, 'rb') as file:
        model = memoryview(file.read())
    with open(target, 'wb') as file:
        for field, whole, content in fields(model):
            file.write(encoded(field, strip(content)) if field == MODEL_GRAPH else whole)


main()
