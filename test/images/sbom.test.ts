/** Bills of materials and provenance of an image, judged by the validators of SPDX and CycloneDX. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { provenanceOf, statementOf } from '../../src/images/attest/provenance.ts'
import { createLayoutFolder } from '../../src/images/layout/folder.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { slipway } from '../cli/slipway.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { makeImage } from './make-image.ts'
import type { Descriptor } from '../../src/images/oci.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const run = promisify(execFile)
const CREATED = '2026-02-03T04:05:06Z'
const MODEL_SHA256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'

interface Item {
  readonly type: string
  readonly name: string
  readonly version?: string
  readonly purl?: string
  readonly licenses?: unknown
  readonly components?: readonly { readonly name: string; readonly hashes: readonly { readonly content: string }[] }[]
}

describe('a bill of materials', () => {
  let folder: TemporaryFolder
  let image: Descriptor
  const at = (name: string): string => join(folder.path, name)
  const sbom = async (format: string, environment: Record<string, string> = {}): Promise<string> => {
    const { code, stdout, stderr } = await slipway(['image', 'sbom', at('layout'), '--format', format], undefined, environment)
    assert.equal(code, 0, stderr)
    return stdout
  }
  before(async () => {
    folder = await temporaryFolder()
    const json = (value: object): string => JSON.stringify(value)
    image = await makeImage(await createLayoutFolder(at('layout')), 'v1', {
      created: CREATED,
      config: {
        Env: ['MODEL_PATH=/models/churn/7'],
        Labels: {
          'dev.slipway.model.name': 'churn',
          'dev.slipway.model.version': '7',
          'dev.slipway.model.digest': `sha256:${'a'.repeat(64)}`,
        },
      },
      layers: [
        [
          { path: 'etc/os-release', text: 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="13"\n' },
          {
            path: 'var/lib/dpkg/status.d/libc6',
            text: 'Package: libc6\nSource: glibc\nVersion: 2.41-12+deb13u1\nArchitecture: amd64\nDescription: text\n more\n',
          },
          { path: 'var/lib/dpkg/status.d/libc6.md5sums', text: 'Package: no\nVersion: 1\n' },
          {
            path: 'usr/local/bin/node',
            text: `${'x'.repeat(70_000)}https://nodejs.org/download/release/v24.21.0/node-v24.21.0.tar.gz\0`,
            mode: 0o755,
          },
        ],
        [
          { path: 'opt/slipway/node_modules/pino/package.json', text: json({ name: 'pino', version: '9.1.0', license: 'MIT' }) },
          {
            path: 'opt/slipway/node_modules/pino/node_modules/pino/package.json',
            text: json({ name: 'pino', version: '9.1.0', license: 'MIT' }),
          },
          {
            path: 'opt/slipway/node_modules/@scope/two/package.json',
            text: json({ name: '@scope/two', version: '1.0.0+x', license: '(MIT OR Apache-2.0)' }),
          },
          {
            path: 'opt/slipway/node_modules/odd/package.json',
            text: json({ name: 'odd', version: '0.1.0', license: 'SEE LICENSE IN license.txt' }),
          },
          { path: 'opt/slipway/node_modules/odd/dist/package.json', text: json({ name: 'inner', version: '1.0.0' }) },
          { path: 'opt/slipway/node_modules/broken/package.json', text: '{' },
          { path: 'opt/slipway/package.json', text: json({ name: 'slipway', version: '0.1.0', license: 'Apache-2.0' }) },
        ],
        [{ path: 'models/churn/7/model.onnx', text: 'test' }],
      ],
    })
  })
  after(() => folder[Symbol.asyncDispose]())

  it('lists what has a name and a version, and nothing that has not', async () => {
    const { components } = JSON.parse(await sbom('cyclonedx')) as { components: Item[] }
    assert.deepEqual(
      components.map(({ type, name, version, purl }) => [type, name, version, purl]),
      [
        ['library', '@scope/two', '1.0.0+x', 'pkg:npm/%40scope/two@1.0.0%2Bx'],
        ['library', 'odd', '0.1.0', 'pkg:npm/odd@0.1.0'],
        ['library', 'pino', '9.1.0', 'pkg:npm/pino@9.1.0'],
        ['library', 'pino', '9.1.0', 'pkg:npm/pino@9.1.0'],
        ['library', 'slipway', '0.1.0', 'pkg:npm/slipway@0.1.0'],
        ['library', 'libc6', '2.41-12+deb13u1', 'pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13'],
        ['operating-system', 'debian', '13', undefined],
        ['application', 'node', '24.21.0', 'pkg:generic/node@24.21.0'],
        ['machine-learning-model', 'churn', '7', 'pkg:generic/churn@7'],
      ],
    )
    assert.deepEqual(components.at(-1)?.components, [
      { type: 'file', name: '/models/churn/7/model.onnx', hashes: [{ alg: 'SHA-256', content: MODEL_SHA256 }] },
    ])
    assert.deepEqual(
      components.slice(0, 3).map(({ licenses }) => licenses),
      [[{ expression: '(MIT OR Apache-2.0)' }], [{ license: { name: 'SEE LICENSE IN license.txt' } }], [{ license: { id: 'MIT' } }]],
    )
  })

  it('in CycloneDX 1.6 is valid by the strict schema', { timeout: 60_000 }, async () => {
    const file = await folder.write('bill.cdx.json', await sbom('cyclonedx'))
    const script = `
import sys
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.schema import SchemaVersion
for error in JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read(), all_errors=True) or []: print(error)`
    assert.equal((await run(await pythonEnv('images'), ['-c', script, file])).stdout, '')
    const broken = await folder.write('broken.cdx.json', (await sbom('cyclonedx')).replace('"library"', '"libary"'))
    assert.notEqual((await run(await pythonEnv('images'), ['-c', script, broken])).stdout, '')
  })

  it('in SPDX 2.3 is valid by the tools of SPDX', { timeout: 60_000 }, async () => {
    const file = await folder.write('bill.spdx.json', await sbom('spdx'))
    const script = `
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
document = parse_file(sys.argv[1])
for message in validate_full_spdx_document(document, 'SPDX-2.3'): print(message.validation_message)
print(len(document.packages))`
    assert.equal((await run(await pythonEnv('images'), ['-c', script, file])).stdout, '9\n')
  })

  it('is the same bytes for the same image, and has its time from it', async () => {
    for (const format of ['spdx', 'cyclonedx']) {
      const [one, other] = [await sbom(format), await sbom(format)]
      assert.equal(one, other)
      assert.match(one, new RegExp(CREATED))
      assert.match(await sbom(format, { SOURCE_DATE_EPOCH: '86400' }), /"1970-01-02T00:00:00Z"/)
    }
    const wrong = await slipway(['image', 'sbom', at('layout')], undefined, { SOURCE_DATE_EPOCH: 'now' })
    assert.deepEqual([wrong.code, /SOURCE_DATE_EPOCH/.test(wrong.stderr)], [2, true])
    assert.equal((await slipway(['image', 'sbom', at('layout'), '--format', 'swid'])).code, 2)
  })

  it('provenance says what an image was made of, as a statement of in-toto', () => {
    const base = { name: 'registry.example/debian', digest: `sha256:${'b'.repeat(64)}` as const }
    const options = {
      name: 'registry.example/churn',
      image,
      platform: { os: 'linux', architecture: 'amd64' },
      builder: 'https://ci.example/workflows/build',
      invocation: '17',
      versions: { slipway: '0.1.0', node: '24.21.0' },
      parameters: { models: ['churn@champion'] },
      base,
      models: [{ name: 'churn', version: '7', digest: `sha256:${'a'.repeat(64)}` }],
      packages: [{ purl: 'pkg:deb/debian/libc6@2.41' }],
      startedMs: 0,
      finishedMs: 2000,
    }
    const { subject, predicateType, predicate } = provenanceOf(options)
    assert.deepEqual(subject, [{ name: 'registry.example/churn', digest: { sha256: image.digest.slice(7) } }])
    assert.equal(predicateType, 'https://slsa.dev/provenance/v1')
    assert.deepEqual(predicate.buildDefinition.resolvedDependencies, [
      { name: 'base', uri: `oci:registry.example/debian@${base.digest}`, digest: { sha256: 'b'.repeat(64) } },
      { name: 'model churn/7', uri: 'models:/churn/7', digest: { sha256: 'a'.repeat(64) } },
      { uri: 'pkg:deb/debian/libc6@2.41' },
    ])
    assert.deepEqual(predicate.runDetails, {
      builder: { id: 'https://ci.example/workflows/build', version: options.versions },
      metadata: { invocationId: '17', startedOn: '1970-01-01T00:00:00.000Z', finishedOn: '1970-01-01T00:00:02.000Z' },
    })
    assert.deepEqual(JSON.parse(JSON.stringify(statementOf(options, 'https://spdx.dev/Document', {}))), {
      _type: 'https://in-toto.io/Statement/v1',
      subject,
      predicateType: 'https://spdx.dev/Document',
      predicate: {},
    })
  })
})
