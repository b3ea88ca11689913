import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join, parse } from 'node:path'
import { it } from 'node:test'
import { MACHINE_TOOLS, missingTools } from '../../scripts/machine-tools.ts'
import { makeReady, PREREQUISITES } from '../../scripts/prerequisites.ts'

it('what cannot be made is named, with the command that makes it and what went wrong, and the others are made all the same', async () => {
  const made: string[] = []
  const one = (name: string, fails = false) => ({
    name,
    for: 'a test',
    command: `make ${name}`,
    make: async () => {
      if (fails) throw new Error('there is no network')
      made.push(name)
    },
  })
  const failures = await makeReady([one('a'), one('b', true), one('c'), one('d')])
  assert.deepEqual(failures, ['b, needed for: a test\n  by hand: make b\n  there is no network'])
  assert.deepEqual(made.toSorted(), ['a', 'c', 'd'])
})

it('every environment of Python that tests use is among them', () => {
  const environments = readdirSync(join(import.meta.dirname, '../../scripts/python')).map((file) => parse(file).name)
  const named = new Set(PREREQUISITES.map(({ command }) => command.split(' ').at(-1)))
  // Benchmarks and the makers of examples have theirs made when they are run.
  const others = new Set(['bench', 'bench-trees', 'train'])
  for (const environment of environments) assert.ok(others.has(environment) || named.has(environment), environment)
})

it('programs that are missing or too old are told all at once, with the command for Debian, and this machine has them', () => {
  assert.equal(missingTools(), undefined)
  const versions: Record<string, string> = { git: 'git version 2.39.5', python3: 'Python 3.9.2', go: 'go version go1.19.8 linux/amd64' }
  const said = missingTools(
    MACHINE_TOOLS.filter(({ name }) => ['git', 'python3', 'go', 'openssl'].includes(name)),
    (name) => versions[name],
  )
  assert.equal(
    said,
    `the tests need programs that are not here:
  openssl: it is not on the PATH, or not whole
  python3 3.11 or newer: this is 3.9
  go 1.25 or newer: this is 1.19
on Debian (of a release that has these versions, or from its backports): apt-get install --no-install-recommends openssl python3 python3-venv golang-go`,
  )
  assert.equal(
    missingTools(MACHINE_TOOLS, () => 'version 99.0'),
    undefined,
  )
})
