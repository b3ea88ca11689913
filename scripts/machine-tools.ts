/**
 * Programs that the tests start and that no script here brings: they are looked for at once, before anything is installed or built.
 */
import { spawnSync } from 'node:child_process'

export interface MachineTool {
  readonly name: string
  /** Arguments that make it say its version; it need not have one. */
  readonly ask: readonly string[]
  /** Oldest version that will do. */
  readonly atLeast?: readonly [major: number, minor: number]
  /** Debian packages that bring it. */
  readonly packages: readonly string[]
}

export const MACHINE_TOOLS: readonly MachineTool[] = [
  { name: 'git', ask: ['--version'], packages: ['git'] },
  { name: 'bash', ask: ['--version'], packages: ['bash'] },
  { name: 'curl', ask: ['--version'], packages: ['curl'] },
  { name: 'tar', ask: ['--version'], packages: ['tar'] },
  { name: 'openssl', ask: ['version'], packages: ['openssl'] },
  { name: 'timeout', ask: ['--version'], packages: ['coreutils'] },
  { name: 'unshare', ask: ['--version'], packages: ['util-linux'] },
  // The pinned releases of numpy, pandas and scikit-learn need it. Debian packs what makes a virtual environment apart.
  {
    name: 'python3',
    ask: ['-c', 'import ensurepip, sys, venv; print(sys.version)'],
    atLeast: [3, 11],
    packages: ['python3', 'python3-venv'],
  },
  // A collector of traces and an S3 server are built from their modules.
  { name: 'go', ask: ['version'], atLeast: [1, 25], packages: ['golang-go'] },
]

/** What a program says when it is asked for its version; undefined where there is none. */
export type Ask = (name: string, args: readonly string[]) => string | undefined

function askMachine(name: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(name, args, { encoding: 'utf8' })
  return status === 0 ? stdout : undefined
}

/** Why a program will not do; undefined where it will. */
function whyNot({ name, ask, atLeast }: MachineTool, askTool: Ask): string | undefined {
  const said = askTool(name, ask)
  const needed = atLeast === undefined ? name : `${name} ${atLeast.join('.')} or newer`
  if (said === undefined) return `${needed}: it is not on the PATH, or not whole`
  if (atLeast === undefined) return undefined
  const [, major, minor] = /(\d+)\.(\d+)/.exec(said) ?? []
  const [wantedMajor, wantedMinor] = atLeast
  const isEnough = Number(major) > wantedMajor || (Number(major) === wantedMajor && Number(minor) >= wantedMinor)
  return isEnough ? undefined : `${needed}: this is ${major === undefined ? 'one that does not say its version' : `${major}.${minor}`}`
}

/** All that is missing and the command that brings it on Debian; undefined where nothing is. */
export function missingTools(tools: readonly MachineTool[] = MACHINE_TOOLS, ask: Ask = askMachine): string | undefined {
  const missing = tools.flatMap((tool) => {
    const why = whyNot(tool, ask)
    return why === undefined ? [] : [{ tool, why }]
  })
  if (missing.length === 0) return undefined
  const packages = [...new Set(missing.flatMap(({ tool }) => tool.packages))]
  const lines = missing.map(({ why }) => `  ${why}`)
  const older = missing.some(({ tool }) => tool.atLeast !== undefined)
    ? ' (of a release that has these versions, or from its backports)'
    : ''
  return `the tests need programs that are not here:\n${lines.join('\n')}\non Debian${older}: apt-get install --no-install-recommends ${packages.join(' ')}`
}
