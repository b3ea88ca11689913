/**
 * Mutation testing of the code that decides: each change that a slip could make is made in a copy of the tree, and the tests of its
 * room run. A mutant that no test notices survives, and is printed with its line.
 *
 *     scripts/node scripts/mutants.ts [--room access,...] [--at FILE[:LINE]] [--every N] [--jobs N] [--json FILE]
 *         [--again FILE] [--list]
 *
 * `--again` takes what survived in a report of `--json`.
 */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseSync, Visitor } from 'oxc-parser'
import { globalSetup, globalTeardown } from '../test/global-setup.ts'

interface Subject {
  readonly files: readonly string[]
  readonly tests: readonly string[]
}

/** What is mutated, and the tests that are to notice. */
const SUBJECTS: Readonly<Record<string, Subject>> = {
  access: {
    files: ['src/contract/roles.ts', 'src/api/access.ts', 'src/api/enter.ts', 'src/access/keys.ts'],
    tests: [
      'test/access/keys.test.ts',
      'test/access/timing.test.ts',
      'test/api/roles.test.ts',
      'test/control-plane/keys.test.ts',
      'test/access/sign-in.test.ts',
      'test/access/refusals.test.ts',
    ],
  },
  following: {
    files: ['src/following/follower.ts', 'src/following/kept-state.ts', 'src/following/credentials.ts'],
    tests: [
      'test/following/credentials.test.ts',
      'test/following/lanes.test.ts',
      'test/following/pauses.test.ts',
      'test/following/identity.test.ts',
      'test/following/routing.test.ts',
      'test/following/follow.test.ts',
    ],
  },
  'contract checks': {
    files: ['src/contract/compatibility.ts', 'src/contract/routing.ts', 'src/contract/read-yaml.ts', 'src/contract/schema.ts'],
    tests: ['test/contract/compatibility.test.ts', 'test/contract/routing.test.ts', 'test/contract/read-yaml.test.ts'],
  },
  leases: {
    files: ['src/storage/sql/leases.ts'],
    tests: ['test/storage/leases.test.ts'],
  },
  scheduler: {
    files: ['src/serving/scheduler/scheduler.ts', 'src/serving/scheduler/queue.ts'],
    tests: [
      'test/serving/scheduler-limits.test.ts',
      'test/serving/scheduler-deadlines.test.ts',
      'test/serving/scheduler.test.ts',
      'test/serving/parts.test.ts',
    ],
  },
  guards: {
    files: ['src/models/policies.ts', 'src/models/servable.ts', 'src/models/dependents.ts', 'src/security/outside-address.ts'],
    tests: [
      'test/security/outside-address.test.ts',
      'test/models/alias-rules.test.ts',
      'test/models/gates.test.ts',
      'test/models/models.test.ts',
    ],
  },
  'alias rules': {
    files: ['src/models/aliases.ts', 'src/models/names.ts', 'src/delivery/alias-endpoints.ts'],
    tests: [
      'test/models/alias-rules.test.ts',
      'test/delivery/alias-endpoints.test.ts',
      'test/models/models.test.ts',
      'test/models/gates.test.ts',
      'test/delivery/endpoints.test.ts',
    ],
  },
}

/** One change of a file. */
export interface Mutant {
  readonly start: number
  readonly end: number
  readonly line: number
  readonly from: string
  readonly to: string
}

const SWAPPED: ReadonlyMap<string, string> = new Map(
  [
    ['<', '<='],
    ['>', '>='],
    ['===', '!=='],
    ['&&', '||'],
    ['+', '-'],
    ['*', '/'],
  ].flatMap(([one = '', other = '']) => [
    [one, other],
    [other, one],
  ]),
)
const OTHER_METHOD: ReadonlyMap<string, string> = new Map([
  ['every', 'some'],
  ['some', 'every'],
  ['min', 'max'],
  ['max', 'min'],
])

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}

/** Every mutant of a source: conditions that always or never hold, operators, boolean values, statements that are left out. */
export function mutantsOf(source: string): Mutant[] {
  const { program } = parseSync('mutated.ts', source)
  const mutants: Mutant[] = []
  const change = ({ start, end }: Pick<Node, 'start' | 'end'>, to: string): void => {
    const from = source.slice(start, end)
    if (from !== to) mutants.push({ start, end, line: source.slice(0, start).split('\n').length, from, to })
  }
  // A comparison that is a whole condition is not turned around as well: that it always or never holds says as much.
  const conditions = new Set<number>()
  const operator = ({ left, right, operator: sign, start }: Node & { left: Node; right: Node; operator: string }): void => {
    if (sign.length === 3 && conditions.has(start)) return
    const other = SWAPPED.get(sign)
    const at = source.indexOf(sign, left.end)
    // Texts are joined with `+`: taking one from the other is no slip that anybody makes.
    const joinsText = sign === '+' && [left, right].some((side) => /^['"`]/.test(source.slice(side.start, side.end)))
    if (other !== undefined && at < right.start && !joinsText) change({ start: at, end: at + sign.length }, other)
  }
  const condition = (test: Node | null): void => {
    if (test === null || test.type === 'Literal') return
    conditions.add(test.start)
    change(test, 'true')
    change(test, 'false')
  }
  new Visitor({
    BinaryExpression: operator as never,
    LogicalExpression: operator as never,
    IfStatement: ({ test }) => condition(test),
    ConditionalExpression: ({ test }) => condition(test),
    WhileStatement: ({ test }) => change(test, 'false'),
    Literal: (node) => {
      if (typeof node.value === 'boolean') change(node, String(!node.value))
    },
    UnaryExpression: (node) => {
      if (node.operator === '!') change({ start: node.start, end: node.start + 1 }, '')
    },
    ExpressionStatement: (node) => {
      if (['CallExpression', 'AwaitExpression', 'AssignmentExpression', 'UpdateExpression'].includes(node.expression.type))
        change(node, '{}')
    },
    MemberExpression: ({ property }) => {
      const other = property.type === 'Identifier' ? OTHER_METHOD.get(property.name) : undefined
      if (other !== undefined) change(property, other)
    },
  }).visit(program)
  return mutants.toSorted((a, b) => a.start - b.start)
}

type Outcome = 'killed' | 'survived' | 'timed out'

/** A copy of the tree, in which one mutant at a time lives. */
class Copy {
  readonly folder: string
  constructor(folder: string) {
    this.folder = folder
  }

  static async make(): Promise<Copy> {
    const folder = await mkdtemp(join(tmpdir(), 'slipway-mutants-'))
    for (const name of ['src', 'test', 'bin', 'scripts', 'examples', 'docs', 'package.json', 'tsconfig.json'])
      await cp(join(ROOT, name), join(folder, name), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    return new Copy(folder)
  }

  /** @returns undefined when the time was over */
  async passes(tests: readonly string[], limitMs: number): Promise<boolean | undefined> {
    // A process group of its own: what a test leaves behind when it is ended goes with it.
    const child = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=dot', '--test-force-exit', ...tests], {
      cwd: this.folder,
      stdio: 'ignore',
      detached: true,
    })
    const end = (): boolean => process.kill(-child.pid!, 'SIGKILL')
    let late = false
    const timer = setTimeout(() => {
      late = true
      end()
    }, limitMs)
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
    clearTimeout(timer)
    try {
      end()
    } catch {
      // Nobody is left.
    }
    return late ? undefined : code === 0
  }
}

const ROOT = join(import.meta.dirname, '..')

interface Found extends Mutant {
  readonly room: string
  readonly file: string
}

async function mutantsIn(rooms: readonly string[], at: string | undefined): Promise<Found[]> {
  const [onlyFile, onlyLine] = at?.split(':') ?? []
  const found: Found[] = []
  for (const room of rooms)
    for (const file of SUBJECTS[room]!.files) {
      if (onlyFile !== undefined && file !== onlyFile) continue
      const source = await readFile(join(ROOT, file), 'utf8')
      for (const mutant of mutantsOf(source))
        if (onlyLine === undefined || mutant.line === Number(onlyLine)) found.push({ ...mutant, room, file })
    }
  return found
}

/** Survivors of an earlier report, as they are shown. */
async function survivorsOf(report: string): Promise<ReadonlySet<string>> {
  const outcomes = JSON.parse(await readFile(report, 'utf8')) as (Found & { outcome: Outcome })[]
  return new Set(outcomes.filter(({ outcome }) => outcome === 'survived').map(shown))
}

function shown({ file, line, from, to }: Found): string {
  const one = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, 90)
  return `${file}:${line}  ${one(from)}  ->  ${to === '' ? 'nothing' : one(to)}`
}

/** Tests of a room, in the order of their length: a short one kills most, and the rest need not run. */
async function timeTests(copy: Copy, room: string): Promise<{ tests: string[]; limitMs: number }> {
  const times: { test: string; ms: number }[] = []
  for (const test of SUBJECTS[room]!.tests) {
    const start = performance.now()
    if ((await copy.passes([test], 300_000)) !== true) throw new Error(`${test} fails without any mutant`)
    times.push({ test, ms: performance.now() - start })
  }
  const sorted = times.toSorted((a, b) => a.ms - b.ms)
  return { tests: sorted.map(({ test }) => test), limitMs: Math.max(...sorted.map(({ ms }) => ms)) * 4 + 10_000 }
}

async function outcomeOf(
  copy: Copy,
  { file, start, end, to }: Found,
  { tests, limitMs }: { tests: string[]; limitMs: number },
): Promise<Outcome> {
  const path = join(copy.folder, file)
  const source = await readFile(path, 'utf8')
  await writeFile(path, source.slice(0, start) + to + source.slice(end))
  try {
    for (const test of tests) {
      const passed = await copy.passes([test], limitMs)
      if (passed === undefined) return 'timed out'
      if (!passed) return 'killed'
    }
    return 'survived'
  } finally {
    await writeFile(path, source)
  }
}

function countOf(name: string, text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count > 0) return count
  throw new Error(`--${name} ${text}: expected a whole number from 1`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      room: { type: 'string' },
      at: { type: 'string' },
      every: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '2' },
      json: { type: 'string' },
      again: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  })
  const rooms = values.room?.split(',') ?? Object.keys(SUBJECTS)
  for (const room of rooms) if (!(room in SUBJECTS)) throw new Error(`there is no room "${room}": ${Object.keys(SUBJECTS).join(', ')}`)
  const [every, jobs] = [countOf('every', values.every), countOf('jobs', values.jobs)]
  // A sample of a large room is every N-th: the same ones each time.
  const sampled = (await mutantsIn(rooms, values.at)).filter((_, index) => index % every === 0)
  const before = values.again === undefined ? undefined : await survivorsOf(values.again)
  const waiting = before === undefined ? sampled : sampled.filter((mutant) => before.has(shown(mutant)))
  if (values.list) {
    for (const mutant of waiting) console.log(shown(mutant))
    return
  }
  const outcomes: (Found & { outcome: Outcome })[] = []
  const copies: Copy[] = []
  try {
    await globalSetup()
    while (copies.length < jobs) copies.push(await Copy.make())
    const plans = new Map<string, { tests: string[]; limitMs: number }>()
    for (const room of new Set(waiting.map((mutant) => mutant.room))) plans.set(room, await timeTests(copies[0]!, room))
    const total = waiting.length
    await Promise.all(
      copies.map(async (copy) => {
        for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
          const outcome = await outcomeOf(copy, mutant, plans.get(mutant.room)!)
          outcomes.push({ ...mutant, outcome })
          if (outcome === 'survived') console.log(`[${outcomes.length}/${total}] survived  ${shown(mutant)}`)
          else if (outcomes.length % 20 === 0) console.error(`[${outcomes.length}/${total}]`)
        }
      }),
    )
  } finally {
    await globalTeardown()
    for (const { folder } of copies) await rm(folder, { recursive: true, force: true })
  }
  for (const [room, of] of Map.groupBy(outcomes, (mutant) => mutant.room)) {
    const survived = of.filter(({ outcome }) => outcome === 'survived').length
    console.log(`${room}: ${of.length - survived} of ${of.length} noticed (${Math.round((100 * (of.length - survived)) / of.length)} %)`)
  }
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify(outcomes, undefined, 1))
}

if (import.meta.main) await main()
