/**
 * HDF5 files of doubles. h5wasm is the HDF5 library compiled to WebAssembly; in Node it reads and writes the files of
 * the system itself. Each thread that imports this has a library, and a heap, of its own.
 */
import { File, ready } from 'h5wasm/node';

await ready;

/** Writes file number `n`: `rows` x `rows` whole numbers, so that their sum is exact. Returns the sum. */
export function writeDoubles(path, n, rows) {
  const data = Float64Array.from({ length: rows * rows }, (_, i) => n + (i % 1009));
  const file = new File(path, 'w');
  try {
    file.create_dataset({ name: 'doubles', data, shape: [rows, rows], dtype: '<d' });
  } finally {
    file.close();
  }
  return sumOf(data);
}

/** Opens the file, reads all of it and closes it. */
export function readDoubles(path) {
  const file = new File(path, 'r');
  try {
    return file.get('doubles').value;
  } finally {
    file.close();
  }
}

/** @throws Error unless these are doubles with this sum */
export function checkSum(values, expected) {
  if (!(values instanceof Float64Array)) throw new Error(`read ${values?.constructor.name}, not doubles`);
  const sum = sumOf(values);
  if (sum !== expected) throw new Error(`the sum is ${sum}, not ${expected}`);
}

function sumOf(values) {
  let sum = 0;
  for (let i = 0; i < values.length; ++i) sum += values[i];
  return sum;
}
