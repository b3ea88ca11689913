/** Vulnerabilities of what is in an image: versions beside npm and dpkg, scores beside the library of CVSS, and what the command says. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { chmod, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { isSlipwayError } from '../../src/core/errors.ts'
import { readAdvisories } from '../../src/images/inspect/advisories.ts'
import { cvssScore } from '../../src/images/inspect/cvss.ts'
import { compareDebian } from '../../src/images/inspect/debian-version.ts'
import { isAffected } from '../../src/images/inspect/osv.ts'
import { grypeResult, trivyResult } from '../../src/images/inspect/other-scanners.ts'
import { compareSemver, isSemver } from '../../src/images/inspect/semver.ts'
import { createLayoutFolder } from '../../src/images/layout/folder.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { slipway } from '../cli/slipway.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { makeImage } from './make-image.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const run = promisify(execFile)
const { valid, compare } = createRequire(import.meta.url)('semver') as {
  valid: (text: string) => string | null
  compare: (a: string, b: string) => number
}
const SEED = Number(process.env['SLIPWAY_SEED'] ?? 7)

/** A linear congruential generator, whose numbers are the same everywhere. */
function pickerOf(seed: number): <T>(...of: readonly T[]) => T {
  let state = seed >>> 0
  return (...of) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return of[Math.floor((state / 2 ** 32) * of.length)]!
  }
}

describe('versions and scores', () => {
  it(`of npm are ordered as the package semver orders them (SLIPWAY_SEED=${SEED})`, () => {
    const pick = pickerOf(SEED)
    const part = (): string => pick('0', '1', '2', '10', '01', '9007199254740991')
    const identifier = (): string => pick('alpha', 'beta', '1', '2', '10', 'rc-1', 'A', '0a', '00')
    const version = (): string =>
      `${part()}.${part()}.${part()}${pick('', '', `-${identifier()}`, `-${identifier()}.${identifier()}`)}${pick('', '+build.1')}`
    for (let count = 0; count < 5000; count++) {
      const [a, b] = [version(), version()]
      assert.equal(isSemver(a), valid(a) !== null, a)
      if (isSemver(a) && isSemver(b)) assert.equal(Math.sign(compareSemver(a, b)), compare(a, b), `${a} and ${b}`)
    }
  })

  it(`of Debian are ordered as dpkg orders them (SLIPWAY_SEED=${SEED})`, async () => {
    const pick = pickerOf(SEED)
    const part = (): string => pick('', '1', '01', '10', 'a', 'Z', '~', '~rc1', '+', '.', '.2', '-', '~~', '+deb13u1', 'beta', '0')
    const version = (): string => `${pick('', '', '1:', '0:')}1${part()}${part()}${part()}${pick('', '-1', '-0', '-1~bpo', '-1+b2')}`
    const pairs = Array.from({ length: 400 }, () => [version(), version()] as const).filter(([a, b]) => !/-$|- |--/.test(`${a} ${b}`))
    // One shell asks for all: a process for each takes a minute.
    const shell = spawn('sh', [
      '-c',
      'while read -r a b; do for op in lt eq gt; do dpkg --compare-versions "$a" "$op" "$b" 2>/dev/null && echo "$op"; done; done',
    ])
    shell.stdin.end(pairs.map(([a, b]) => `${a} ${b}\n`).join(''))
    const told = (await textOf(shell.stdout)).trim().split('\n')
    assert.equal(told.length, pairs.length)
    for (const [at, [a, b]] of pairs.entries())
      assert.equal(['lt', 'eq', 'gt'][Math.sign(compareDebian(a, b)) + 1], told[at], `${a} and ${b}`)
  })

  it('scores of all 2592 base vectors of CVSS 3.1 and 3.0 are those of the library cvss', { timeout: 100_000 }, async () => {
    const script = `
import itertools, json
from cvss import CVSS3
names = dict(AV='NALP', AC='LH', PR='NLH', UI='NR', S='UC', C='HLN', I='HLN', A='HLN')
print(json.dumps({v: float(CVSS3(v).base_score) for p in ('3.1', '3.0') for c in itertools.product(*names.values())
  for v in ['CVSS:%s/%s' % (p, '/'.join('%s:%s' % x for x in zip(names, c)))]}))`
    const { stdout } = await run(await pythonEnv('images'), ['-c', script], { maxBuffer: 16 * 1024 ** 2 })
    const scores = Object.entries(JSON.parse(stdout) as Record<string, number>)
    assert.equal(scores.length, 2 * 2592)
    for (const [vector, score] of scores) assert.equal(cvssScore(vector), score, vector)
    assert.equal(cvssScore('CVSS:4.0/AV:N/AC:L'), undefined)
    assert.equal(cvssScore('CVSS:3.1/AV:N'), undefined)
  })

  it('ranges are evaluated as the OSV format says', () => {
    const range = (...events: object[]): object => ({ ranges: [{ type: 'SEMVER', events }] })
    for (const [affected, yes, no] of [
      [range({ introduced: '0' }, { fixed: '1.2.0' }), ['0.0.1', '1.2.0-rc.1', '1.1.9'], ['1.2.0', '2.0.0']],
      [range({ introduced: '1.0.0' }, { last_affected: '1.5.0' }), ['1.0.0', '1.5.0'], ['0.9.9', '1.5.1']],
      [range({ fixed: '2.0.1' }, { introduced: '2.0.0' }, { introduced: '0' }, { fixed: '1.0.0' }), ['0.5.0', '2.0.0'], ['1.0.0', '2.0.1']],
      [range({ introduced: '0' }, { fixed: '2.0.0' }, { introduced: '2.0.0' }, { fixed: '2.0.5' }), ['1.9.9', '2.0.0'], ['2.0.5']],
      [range({ introduced: '0' }, { limit: '1.0.0' }), ['0.9.0'], ['1.0.0']],
      [{ versions: ['1.0', '2.0.0'] }, ['1.0', '2.0.0'], ['1.0.0', '3.0.0']],
      [{ ranges: [{ type: 'GIT', events: [{ introduced: '0' }] }] }, [], ['1.0.0']],
    ] satisfies [object, string[], string[]][]) {
      for (const version of yes) assert.equal(isAffected(affected, 'npm', version), true, `${version} of ${JSON.stringify(affected)}`)
      for (const version of no) assert.equal(isAffected(affected, 'npm', version), false, `${version} of ${JSON.stringify(affected)}`)
    }
    const debian = { ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }, { fixed: '1:1.2-3+deb13u1' }] }] }
    assert.equal(isAffected(debian, 'Debian', '1:1.2-3'), true)
    assert.equal(isAffected(debian, 'Debian', '1:1.2-3+deb13u1'), false)
  })
})

const ADVISORIES = [
  {
    id: 'GHSA-aaaa-bbbb-cccc',
    modified: '2026-05-01T00:00:00Z',
    aliases: ['CVE-2026-1111'],
    summary: 'Prototype pollution',
    severity: [{ type: 'CVSS_V3', score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H' }],
    affected: [
      { package: { ecosystem: 'npm', name: 'lodash' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '4.17.21' }] }] },
    ],
  },
  {
    id: 'CVE-2026-1111',
    modified: '2026-05-02T00:00:00Z',
    affected: [{ package: { ecosystem: 'npm', name: 'lodash' }, versions: ['4.17.4'] }],
  },
  {
    id: 'GHSA-dddd-eeee-ffff',
    modified: '2026-06-01T00:00:00Z',
    summary: 'Slow expression',
    database_specific: { severity: 'MODERATE' },
    affected: [{ package: { ecosystem: 'npm', name: '@team/tool' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '1.0.0' }] }] }],
  },
  {
    id: 'GHSA-gone',
    withdrawn: '2026-01-01T00:00:00Z',
    affected: [{ package: { ecosystem: 'npm', name: 'lodash' }, versions: ['4.17.4'] }],
  },
  {
    id: 'DSA-1-1',
    modified: '2026-04-01T00:00:00Z',
    summary: 'openssl: update',
    affected: [
      {
        package: { ecosystem: 'Debian:13', name: 'openssl' },
        ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }, { fixed: '3.5.4-1~deb13u2' }] }],
      },
      { package: { ecosystem: 'Debian:12', name: 'openssl' }, ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }] }] },
    ],
  },
]

describe('scanning an image', () => {
  let folder: TemporaryFolder
  const at = (name: string): string => join(folder.path, name)
  const scan = (...args: string[]): ReturnType<typeof slipway> =>
    slipway(['image', 'scan', at('layout'), ...args], undefined, { PATH: `${at('bin')}:/usr/bin:/bin` })
  before(async () => {
    folder = await temporaryFolder()
    const status =
      'Package: libssl3t64\nStatus: install ok installed\nSource: openssl (3.5.4-1~deb13u1)\nVersion: 3.5.4-1~deb13u1+b1\nArchitecture: amd64\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n'
    await makeImage(await createLayoutFolder(at('layout')), 'v1', {
      layers: [
        [
          { path: 'etc/os-release', text: 'ID=debian\nVERSION_ID="13"\n' },
          { path: 'var/lib/dpkg/status', text: status },
          { path: 'app/node_modules/lodash/package.json', text: '{"name":"lodash","version":"4.17.4"}' },
          { path: 'app/node_modules/@team/tool/package.json', text: '{"name":"@team/tool","version":"1.3.0"}' },
          { path: 'app/node_modules/removed/package.json', text: '{"name":"lodash","version":"4.17.4"}' },
        ],
        [{ path: 'app/node_modules/.wh.removed' }],
      ],
    })
    await folder.write('osv/npm.json', JSON.stringify(ADVISORIES.slice(0, 4)))
    await folder.write('osv/debian/DSA-1-1.json', JSON.stringify(ADVISORIES[4]))
    await folder.write('osv.ndjson', ADVISORIES.map((one) => JSON.stringify(one)).join('\n'))
    const zipping =
      'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED); z.write(sys.argv[2], "all/npm.json"); z.write(sys.argv[3], "DSA-1-1.json"); z.close()'
    await run(await pythonEnv('images'), ['-c', zipping, at('osv.zip'), at('osv/npm.json'), at('osv/debian/DSA-1-1.json')])
  })
  after(() => folder[Symbol.asyncDispose]())

  it('finds packages of npm and Debian, says which database it asked, and exits by severity', async () => {
    const { code, stdout, stderr } = await scan('--database', at('osv'))
    assert.equal(code, 3, stderr)
    assert.match(stdout, /^scanned by our own check, 3 packages\ndatabase .*osv, 5 advisories, of 2026-06-01T00:00:00Z\n/)
    assert.match(stdout, /^critical +lodash +4\.17\.4 +4\.17\.21 +GHSA-aaaa-bbbb-cccc +Prototype pollution$/m)
    assert.match(stdout, /^medium +@team\/tool +1\.3\.0 +- +GHSA-dddd-eeee-ffff/m)
    assert.match(stdout, /^unknown +libssl3t64 +3\.5\.4-1~deb13u1\+b1 +3\.5\.4-1~deb13u2 +DSA-1-1/m)
    assert.match(stdout, /^3 found: 1 critical, 0 high, 1 medium, 0 low, 1 unknown$/m)
    assert.equal((await scan('--database', at('osv'), '--fail-on', 'never')).code, 0)
  })

  it('a folder, a ZIP archive and a file of one advisory a line are the same database', async () => {
    const reports = await Promise.all(
      ['osv', 'osv.zip', 'osv.ndjson'].map(async (name) => {
        const { stdout } = await scan('--database', at(name), '--json')
        const { findings, database } = JSON.parse(stdout) as { findings: unknown[]; database: { count: number } }
        return { findings, count: database.count }
      }),
    )
    assert.equal(reports[0]!.findings.length, 3)
    for (const report of reports) assert.deepEqual(report, reports[0])
  })

  it('what is ignored has a reason and a day on which it counts again', async () => {
    const ignore = async (expires: string): Promise<string> =>
      folder.write(
        'ignore.yaml',
        `ignore:\n  - { id: CVE-2026-1111, package: lodash, reason: is not reachable, expires: ${expires} }\n  - { id: CVE-1, reason: is not ours, expires: 2999-01-01 }\n`,
      )
    const valid = await scan('--database', at('osv'), '--ignore', await ignore('2999-12-31'))
    assert.equal(valid.code, 0, valid.stderr)
    assert.match(valid.stdout, /1 ignored: GHSA-aaaa-bbbb-cccc \(is not reachable\)/)
    assert.match(valid.stderr, /CVE-1 \(is not ours\) ignores nothing/)
    const expired = await scan('--database', at('osv'), '--ignore', await ignore('2020-12-31'))
    assert.equal(expired.code, 3)
    assert.match(expired.stderr, /CVE-2026-1111 \(is not reachable\) ignores nothing: it is not found, or has expired/)
    const wrong = await scan('--database', at('osv'), '--ignore', await folder.write('wrong.yaml', 'ignore:\n  - { id: X }\n'))
    assert.deepEqual([wrong.code, /wrong\.yaml:2/.test(wrong.stderr)], [2, true], wrong.stderr)
  })

  it('without a scanner and without a database it is an error, and not "0 found"', async () => {
    const { code, stdout, stderr } = await scan()
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /the image was not scanned: neither trivy nor grype is installed\. .* --database/)
    const empty = await scan('--database', await folder.write('empty.ndjson', '\n'))
    assert.deepEqual([empty.code, empty.stdout], [2, ''])
    assert.match(empty.stderr, /has not one advisory/)
    const broken = await scan('--database', await folder.write('broken.zip', 'no archive at all, that is certain'))
    assert.match(broken.stderr, /it has no end of a ZIP archive/)
  })

  it('runs a scanner of others on a layout of the image alone, with no download, and tells when it fails', async () => {
    // In place of the program: its arguments, and a report of that form. The form itself is held to recorded reports below.
    const program = await folder.write(
      'bin/grype',
      `#!/bin/sh\necho "$GRYPE_DB_AUTO_UPDATE $*" > ${at('asked')}\nls "\${1#oci-dir:}" >> ${at('asked')}\ncat ${at('report.json')}\n`,
    )
    await chmod(program, 0o755)
    await folder.write('report.json', await readFile(join(import.meta.dirname, 'scanners/grype.json'), 'utf8'))
    const { code, stdout, stderr } = await scan('--scanner', 'grype')
    assert.equal(code, 3, stderr)
    assert.match(stdout, /^scanned by grype/)
    assert.match(stdout, /^critical +package-2 +2\.2\.2 +- +CVE-1999-0002/m)
    assert.match(await readFile(at('asked'), 'utf8'), /^false oci-dir:\S+ --output json\nblobs\nindex\.json\noci-layout\n$/)
    await folder.write('bin/grype', '#!/bin/sh\necho "no vulnerability database" >&2\nexit 1\n')
    const failed = await scan()
    assert.deepEqual([failed.code, failed.stdout], [2, ''])
    assert.match(failed.stderr, /grype failed, so that nothing is known of the image: no vulnerability database\n.*grype db update/)
    await folder.write('bin/grype', '#!/bin/sh\necho "no JSON"\n')
    assert.match((await scan()).stderr, /grype answered with no JSON/)
  })
})

describe('reports of other scanners', () => {
  const recorded = (name: string): Promise<string> => readFile(join(import.meta.dirname, 'scanners', name), 'utf8')

  it('of Trivy are read: severities, fixes, and the day of its database', async () => {
    const about = JSON.stringify({ Version: '0.74.0', VulnerabilityDB: { Version: 2, UpdatedAt: '2026-11-30T00:00:00Z' } })
    const { findings, database, scanner } = trivyResult(await recorded('trivy.json'), about)
    assert.deepEqual([scanner.version, database.built], ['0.74.0', '2026-11-30T00:00:00Z'])
    assert.deepEqual(
      findings.map(({ id, aliases, severity, package: name, version, fixed, type }) => [id, aliases, severity, name, version, fixed, type]),
      [
        ['CVE-2019-18224', ['DSA-4613-1'], 'critical', 'libidn2-0', '2.0.5-1', '2.0.5-1+deb10u1', 'debian'],
        ['CVE-2019-18276', [], 'low', 'bash', '5.0-4', undefined, 'debian'],
      ],
    )
    assert.throws(() => trivyResult('[]', about), /schema undefined; expected 2/)
  })

  it('of Grype are read', async () => {
    const { findings } = grypeResult(await recorded('grype.json'))
    assert.deepEqual(
      findings.map(({ id, severity, package: name, fixed, path }) => [id, severity, name, fixed, path]),
      [
        ['CVE-1999-0002', 'critical', 'package-2', undefined, '/foo/bar/somefile-2.txt'],
        ['CVE-1999-0001', 'low', 'package-1', '1.2.1', '/foo/bar/somefile-1.txt'],
      ],
    )
    assert.throws(
      () => grypeResult('{}'),
      (error) => isSlipwayError(error) && error.code === 'SLW_ANSWER_INVALID',
    )
  })
})

describe('a database of advisories', () => {
  it('of more files than 16 bits count is read where ZIP64 says', async () => {
    await using folder = await temporaryFolder()
    const script = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_STORED) as z:
    for i in range(66000):
        z.writestr('A-%d.json' % i, json.dumps({'id': 'A-%d' % i, 'affected': [{'package': {'ecosystem': 'npm', 'name': 'p%d' % i}}]}))`
    await run(await pythonEnv('images'), ['-c', script, join(folder.path, 'all.zip')])
    const { count, about } = await readAdvisories(join(folder.path, 'all.zip'), (key) => key === 'npm p65999')
    assert.deepEqual([count, [...about.keys()]], [66_000, ['npm p65999']])
  })
})
