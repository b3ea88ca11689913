import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { elementAt } from '../../src/tensor/tensor.ts'
import { readNpy, writeNpy } from '../../src/tensor/npy.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Arrays of every kind that tensors have, of both byte orders and each version of the format; and what is refused. */
const SCRIPT = `
import json, sys, warnings
import numpy as np
from numpy.lib import format
folder = sys.argv[1]
random = np.random.default_rng(7)
told = {}
for kind in ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]:
    for order in "<>":
        for version in [(1, 0), (2, 0), (3, 0)]:
            for shape in [(), (0,), (3,), (2, 3), (2, 0, 3), (1, 2, 2)]:
                bits = random.integers(0, 256, size=int(np.prod(shape)) * np.dtype(kind).itemsize, dtype="u1")
                array = (bits > 127) if kind == "b1" else bits.view(order + kind)
                array = array.reshape(shape)
                if array.dtype.kind == "f":
                    array = np.nan_to_num(array, nan=0.5, posinf=1.5, neginf=-2.5).astype(array.dtype)
                name = f"{kind}{'be' if order == '>' else 'le'}v{version[0]}s{'x'.join(map(str, shape))}.npy"
                with open(f"{folder}/{name}", "wb") as file, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    format.write_array(file, array, version=version)
                told[name] = [list(shape), [str(value) for value in array.reshape(-1).tolist()]]
np.save(f"{folder}/fortran.npy", np.asfortranarray(np.ones((2, 3))))
np.save(f"{folder}/complex.npy", np.ones(2, dtype="c8"))
np.save(f"{folder}/texts.npy", np.array(["a"]))
np.save(f"{folder}/records.npy", np.zeros(2, dtype=[("a", "f4")]))
np.save(f"{folder}/objects.npy", np.array([{}], dtype=object), allow_pickle=True)
print(json.dumps(told))
`

it('NumPy and we read what the other has written, bit by bit', { timeout: 100_000 }, async () => {
  const python = await pythonEnv('mlflow-scoring')
  await using folder = await temporaryFolder()
  const { stdout } = await promisify(execFile)(python, ['-c', SCRIPT, folder.path], { maxBuffer: 1e8 })
  const told = JSON.parse(stdout) as Record<string, [number[], string[]]>
  const names = Object.keys(told)
  assert.equal(names.length, 12 * 2 * 3 * 6)
  for (const name of names) {
    const tensor = readNpy(await readFile(join(folder.path, name)), 'x', 100)
    const [shape, values] = told[name]!
    assert.deepEqual(tensor.shape, shape, name)
    const own = Array.from({ length: values.length }, (_, index) => elementAt(tensor, index))
    for (const [index, value] of own.entries()) {
      const expected = values[index]!
      if (typeof value === 'boolean') assert.equal(String(value), expected.toLowerCase())
      else if (typeof value === 'bigint') assert.equal(String(value), expected)
      else assert.ok(Object.is(value, Number(expected)), `${name}[${index}]: ${String(value)} for ${expected}`)
    }
    await writeFile(join(folder.path, `own-${name}`), writeNpy(tensor))
  }
  const compare = `
import glob, sys, numpy as np
for path in glob.glob(sys.argv[1] + "/own-*.npy"):
    own, theirs = np.load(path), np.load(path.replace("own-", ""))
    assert own.dtype == theirs.dtype.newbyteorder("="), path
    assert own.shape == theirs.shape and own.tobytes() == theirs.astype(own.dtype).tobytes(), path
print("same")
`
  assert.equal((await promisify(execFile)(python, ['-c', compare, folder.path])).stdout.trim(), 'same')
  for (const [name, message] of [
    ['fortran', /in Fortran order; send numpy\.ascontiguousarray/],
    ['complex', /an array of "<c8" is not read/],
    ['texts', /an array of "<U1" is not read/],
    ['records', /an array of records is not read/],
    ['objects', /an array of "\|O" is not read/],
  ] as const)
    await assert.rejects(async () => readNpy(await readFile(join(folder.path, `${name}.npy`)), 'x', 100), message)
  const cut = await readFile(join(folder.path, 'f4lev1s2x3.npy'))
  for (let length = 0; length < cut.length; length++)
    assert.throws(() => readNpy(cut.subarray(0, length), 'x', 100), { code: 'SLW_BAD_REQUEST' })
  assert.throws(() => readNpy(cut, 'x', 5), { code: 'SLW_LIMIT_EXCEEDED' })
})
