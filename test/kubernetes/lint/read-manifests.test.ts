import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { lint } from '../../../src/kubernetes/lint/lint.ts'
import { MANIFEST_LIMITS, readManifests } from '../../../src/kubernetes/lint/read-manifests.ts'

const SERVICE = 'apiVersion: v1\nkind: Service\nmetadata:\n  name: churn\nspec:\n  ports:\n    - port: 80\n'

function refusal(text: string): { line: number; column: number; message: string } {
  const { objects, unreadable } = readManifests(text)
  assert.equal(objects.length, 0)
  assert.equal(unreadable.length, 1)
  return unreadable[0]!
}

describe('reading manifests', () => {
  it('knows the place of each field, and of what would have one that is not there', () => {
    const { objects } = readManifests(`# first\n---\n${SERVICE}---\n\n---\n${SERVICE.replace('churn', 'other')}`)
    assert.deepEqual(
      objects.map(({ object }) => object.metadata.name),
      ['churn', 'other'],
    )
    assert.deepEqual(objects[0]!.place(['spec', 'ports', 0, 'port']), { line: 9, column: 7 })
    assert.deepEqual(objects[1]!.place(['spec', 'ports', 0, 'targetPort']), { line: 19, column: 7 })
  })

  it('takes JSON and lists, with places in them', () => {
    const item = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'churn' }, spec: { ports: [{ port: 80 }] } }
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [item, { ...item, metadata: { name: 'other' } }] }, undefined, 1)
    const { objects } = readManifests(text)
    assert.equal(objects.length, 2)
    const { line } = objects[1]!.place(['metadata', 'name'])
    assert.match(text.split('\n')[line - 1]!, /"name": "other"/)
  })

  it('reads values as Kubernetes does: yes is true, and a time is a text', () => {
    const { objects } = readManifests(`${SERVICE}data: { a: yes, b: 10:30, c: 2026-01-02, d: 0644, e: "yes" }\n`)
    assert.deepEqual(objects[0]!.object['data'], { a: true, b: '10:30', c: '2026-01-02', d: 420, e: 'yes' })
  })

  it('goes on after a document that is broken, and says where it is', () => {
    const { objects, unreadable } = readManifests(`${SERVICE}---\nkind: [unclosed\n`)
    assert.equal(objects.length, 1)
    assert.equal(unreadable.length, 1)
    assert.match(unreadable[0]!.message, /^this is no YAML: /)
    assert.ok(unreadable[0]!.line >= 9)
  })

  it('says what is missing where something is no object', () => {
    assert.match(refusal('kind: Service\nmetadata: { name: a }\n').message, /no object of Kubernetes: it has no apiVersion/)
    assert.match(refusal('apiVersion: v1\nkind: Service\nmetadata: {}\n').message, /the Service has no metadata\.name/)
    assert.match(refusal(SERVICE.replace('spec:', 'kind: Pod\nspec:')).message, /the key kind stands twice/)
    assert.match(refusal('just a text').message, /no object of Kubernetes/)
  })

  it('refuses templates of Helm by name, and takes what merely has braces in its texts', () => {
    const templates = [
      SERVICE.replace('name: churn', 'name: {{ .Values.name }}'),
      SERVICE.replace('name: churn', 'name: "{{ .Release.Name }}-churn"'),
      SERVICE.replace('spec:', '{{- if .Values.ports }}\nspec:'),
      SERVICE.replace('name: churn', 'name: {{ include "churn.name" . }}'),
      SERVICE.replace('port: 80', 'port: {{ $port }}'),
    ]
    for (const text of templates) assert.match(refusal(text).message, /template of Helm.*helm template CHART \| slipway lint k8s -/, text)
    const alert = `${SERVICE}data:\n  text: |\n    {{ $labels.pod }} is slow\n  other: "{{ args.service }}"\n`
    assert.equal(readManifests(alert).objects.length, 1)
  })

  it('has limits: bombs of aliases, nesting, many keys and large texts end soon, with a sentence', () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
    for (let index = 1; index < 10; index++) {
      const [name, before] = ['abcdefghijk'[index]!, 'abcdefghijk'[index - 1]!]
      bomb.push(`${name}: &${name} [${`*${before}, `.repeat(8)}*${before}]`)
    }
    assert.match(refusal(`${bomb.join('\n')}\n`).message, /alias/i)
    assert.match(refusal(`a: ${'['.repeat(100_000)}`).message, /nested|no YAML/)
    assert.match(refusal(`${SERVICE}a: ${'['.repeat(400)}${']'.repeat(400)}\n`).message, /nested more than 200 deep/)
    assert.match(refusal(`x${' '.repeat(MANIFEST_LIMITS.bytes)}`).message, /more than 8 MB/)
    assert.match(refusal('a: *nobody\n').message, /nobody/)
    const keys = Array.from({ length: 60_000 }, (_, index) => `  k${index}: "1"`).join('\n')
    assert.equal(readManifests(`apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata:\n${keys}\n`).objects.length, 1)
  })

  it('does not stumble over names of JavaScript', () => {
    const text =
      'apiVersion: v1\nkind: Service\nmetadata: { name: __proto__ }\nspec: { __proto__: { type: LoadBalancer }, constructor: 1 }\n'
    const { objects } = readManifests(text)
    const { findings } = lint(objects.map(({ object }) => object))
    assert.ok(findings.some(({ message }) => message.includes('no field constructor')))
    assert.equal(({} as Record<string, unknown>)['type'], undefined)
  })
})
