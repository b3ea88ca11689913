/** perf_analyzer, the load generator of Triton: a compiled client of the Open Inference Protocol over HTTP and gRPC. */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { debianLibrary } from './debian-package.ts'
import { pythonEnv } from './python-env.ts'

export interface PerfAnalyzer {
  readonly command: string
  /** What it needs in its environment to find its libraries. */
  readonly env: Readonly<Record<string, string>>
}

export async function perfAnalyzer(): Promise<PerfAnalyzer> {
  await debianLibrary('libb64.so.0d', 'libb64-0d')
  const venv = join(await pythonEnv('perf-analyzer'), '../..')
  const release = (await readdir(join(venv, 'lib'))).find((name) => name.startsWith('python')) ?? ''
  const libraries = join(venv, 'lib', release, 'site-packages/nvidia/cuda_runtime/lib')
  if (!existsSync(libraries)) throw new Error(`the runtime of CUDA is not in ${libraries}`)
  return { command: join(venv, 'bin/perf_analyzer'), env: { LD_LIBRARY_PATH: libraries } }
}
