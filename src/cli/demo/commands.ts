import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { packageRoot } from '../../core/entry.ts'
import { print, style, wrapped } from '../output.ts'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'

/** Time that a command may take. */
const LIMIT_MS = 60_000

type Child = ChildProcessByStdio<null, Readable, Readable>

/** Commands of Slipway, run in a folder as a person would, and printed before their output. */
export class Commands {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Runs a command to its end, and prints some lines of its output.
   * @param shown what a line has that is printed. Default: any
   * @throws Error with the output, where it ends with anything but 0
   */
  async run(words: readonly string[], shown = /\S/): Promise<void> {
    const child = this.#start(words)
    const lines: string[] = []
    for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', (line) => lines.push(line))
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    clearTimeout(timer)
    if (code !== 0) throw new Error(`"slipway ${words.join(' ')}" ended with ${code ?? signal}: ${lines.join('\n')}`)
    for (const line of lines.filter((text) => shown.test(text))) print(`  ${line}`)
  }

  /**
   * Runs a command that says how something goes on, and prints its lines as they come.
   * @param code what it is to end with. Default: 0
   * @throws Error where it ends otherwise
   */
  async watch(words: readonly string[], { limitMs, code: expected = 0 }: { limitMs: number; code?: number }): Promise<void> {
    const child = this.#start(words)
    const last: string[] = []
    for (const stream of [child.stdout, child.stderr])
      createInterface(stream).on('line', (line) => {
        last.push(line)
        if (/\S/.test(line)) print(wrapped(line, '  ', '      '))
      })
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    clearTimeout(timer)
    if (code !== expected)
      throw new Error(`"slipway ${words.join(' ')}" ended with ${code ?? signal} instead of ${expected}: ${last.at(-1) ?? ''}`)
  }

  /**
   * Starts a command that goes on until it is disposed of.
   * @param pattern what it prints when it is ready, with the address in the first group
   * @throws Error with the output, where it ends before
   */
  async serve(words: readonly string[], pattern: RegExp): Promise<{ readonly url: string } & AsyncDisposable> {
    const child = this.#start(words)
    const ended = once(child, 'close')
    const dispose = async (): Promise<void> => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
      await ended
      clearTimeout(timer)
    }
    let said = ''
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        // Of a line that has not ended the address may be half.
        const [, url] = pattern.exec(said.slice(0, said.lastIndexOf('\n') + 1)) ?? []
        if (url !== undefined) resolve(url)
      })
    const failed = (why: string): void => reject(new Error(`"slipway ${words.join(' ')}" ${why}: ${said}`))
    ended.then(() => failed('ended'), reject)
    const timer = setTimeout(() => failed(`is not ready after ${LIMIT_MS / 1000} s`), LIMIT_MS)
    try {
      return { url: await promise, [Symbol.asyncDispose]: dispose }
    } catch (error) {
      await dispose()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  #start(words: readonly string[]): Child {
    print(`${style('dim', '$')} ${style('bold', `slipway ${words.join(' ')}`)}`)
    return spawn(process.execPath, [join(packageRoot(), 'bin', 'slipway'), ...words], {
      cwd: this.#folder,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }
}

/** The environment of this process without settings of Slipway: keys and addresses of a control plane in use are not for a demo. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLIPWAY_') && name !== 'MODEL_PATH'))
}
