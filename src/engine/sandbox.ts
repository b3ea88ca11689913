import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SlipwayError } from '../core/errors.ts'
import { openProgram } from './process.ts'
import { pythonFrames } from './python-frames.ts'
import type { Instance, InstanceSpec } from './instance.ts'
import type { ProcessOptions } from './process.ts'

/** Limit of threads: many times those that the libraries of scikit-learn start on a large machine. */
const THREADS_MAX = 1024

export interface SandboxOptions extends ProcessOptions {
  /** The interpreter, with scikit-learn installed for it. */
  readonly python: string
  readonly memoryLimitMb: number
}

/**
 * Starts an instance of a model that is a Python object: in an interpreter that can read Python and its packages and nothing else, with the
 * model as an open file, no network, no other programs, and an environment without variables of this process (docs/decisions/0012).
 */
export async function openSandbox(spec: InstanceSpec, options: SandboxOptions): Promise<Instance> {
  const { python, memoryLimitMb } = options
  if (!('path' in spec.source) || spec.python === undefined) throw new SlipwayError('SLW_INTERNAL', `${spec.name} is no model of Python`)
  await using file = await open(spec.source.path)
  const threads = String(spec.threads)
  const own = { ...spec, python: { ...spec.python, memoryBytes: memoryLimitMb * 1024 * 1024 } }
  return await openProgram(
    {
      command: programOf(python),
      args: ['-I', '-B', fileURLToPath(new URL('python/worker.py', import.meta.url))],
      environment: {
        LANG: 'C.UTF-8',
        OMP_NUM_THREADS: threads,
        OPENBLAS_NUM_THREADS: threads,
        MKL_NUM_THREADS: threads,
        // The sandbox allows no child processes.
        JOBLIB_MULTIPROCESSING: '0',
      },
      folder: '/',
      file: file.fd,
      frames: pythonFrames(spec),
    },
    own,
    { ...options, threadLimit: THREADS_MAX },
  )
}

/** Finds a program as a shell does: a path with `/` from the current folder, a name on the PATH. @throws SLW_CONFIG_INVALID if missing */
function programOf(python: string): string {
  const places = python.includes('/')
    ? [resolve(python)]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, python))
  const found = places.find((path) => existsSync(path))
  if (found !== undefined) return found
  throw new SlipwayError('SLW_CONFIG_INVALID', `sandboxPython (--sandbox-python): there is no program ${python}`)
}
