import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changesBetween, ownersOf, pathText } from '../../src/cluster/fields.ts'
import { inOrder } from '../../src/cluster/order.ts'
import { besideOthers } from '../../src/cluster/shared-fields.ts'
import type { LiveObject, ManagedFields } from '../../src/cluster/cluster.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

function live(spec: object, ...managedFields: readonly ManagedFields[]): LiveObject {
  const metadata = { name: 'churn', uid: '1', resourceVersion: '1', managedFields }
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata, spec }
}

function managed(manager: string, fieldsV1: object, subresource?: string): ManagedFields {
  return { manager, operation: 'Apply', fieldsV1, ...(subresource !== undefined && { subresource }) }
}

test('elements of lists are compared by what they are known by, and else by their place', () => {
  const before = {
    list: [
      { name: 'a', value: 1 },
      { name: 'b', value: 2 },
    ],
    args: ['one', 'two'],
  }
  const after = {
    list: [
      { name: 'b', value: 3 },
      { name: 'a', value: 1 },
    ],
    args: ['one', 'three'],
    'with.dot/x': 1,
  }
  assert.deepEqual(
    changesBetween(before, after).map(({ path, before: was, after: is }) => [pathText(path), was, is]),
    [
      ['args[1]', 'two', 'three'],
      ['list[name=b].value', 2, 3],
      ['"with.dot/x"', undefined, 1],
    ],
  )
})

test('a field has the owner that managed fields say, also in lists by keys, by values, and as a whole', () => {
  const spec = { ports: [{ port: 80, protocol: 'TCP', targetPort: 1 }], words: ['a', 'b'], rules: [{ weight: 1 }], replicas: 2 }
  const object = live(
    spec,
    managed('hand', { 'f:spec': { 'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:targetPort': {} } } } }),
    managed('words', { 'f:spec': { 'f:words': { 'v:"b"': {} } } }),
    managed('rules', { 'f:spec': { 'f:rules': {} } }),
    managed('scaler', { 'f:spec': { 'f:replicas': {} } }, 'scale'),
    managed('kubelet', { 'f:spec': { 'f:replicas': {} } }, 'status'),
  )
  const of = (...path: Parameters<typeof ownersOf>[1]): string[] => ownersOf(object, path)
  assert.deepEqual(of('spec', 'ports', { port: 80, protocol: 'TCP' }, 'targetPort'), ['hand'])
  assert.deepEqual(of('spec', 'ports', { port: 81 }, 'targetPort'), [])
  assert.deepEqual(of('spec', 'words', 1), ['words'])
  assert.deepEqual(of('spec', 'words', 0), [])
  assert.deepEqual(of('spec', 'rules', 0, 'weight'), ['rules'])
  assert.deepEqual(of('spec', 'replicas'), ['scaler'])
})

test('a route keeps the weights that a rollout has moved, of targets that are the same, and no others', () => {
  const target = (name: string, weight: number, more: object = {}): object => ({ name, port: 80, weight, ...more })
  const route = (...refs: readonly object[]): KubernetesObject => {
    const { metadata, ...rest } = live({ rules: [{ backendRefs: refs }] })
    return { ...rest, metadata: { name: metadata.name } }
  }
  const wanted = route(target('main', 90), target('next', 10), target('new', 0))
  // The API server has filled in what a target is by default.
  const refs = [target('main', 50, { group: '', kind: 'Service' }), target('next', 50, { group: '', kind: 'Service' })]
  const moved = live({ rules: [{ backendRefs: refs }] }, managed('slipway-weights', { 'f:spec': { 'f:rules': {} } }))
  assert.deepEqual(besideOthers(wanted, moved), route(target('main', 50), target('next', 50), target('new', 0)))
  assert.deepEqual(besideOthers(wanted, live({ rules: [{ backendRefs: refs }] })), wanted)
  assert.deepEqual(besideOthers(wanted, undefined), wanted)
})

test('what is needed comes first, and what sends requests last', () => {
  const kinds = ['HTTPRoute', 'Deployment', 'Unheard', 'HorizontalPodAutoscaler', 'Service', 'ConfigMap', 'NetworkPolicy']
  const objects = kinds.map((kind): KubernetesObject => ({ apiVersion: 'v1', kind, metadata: { name: 'a' } }))
  assert.deepEqual(
    inOrder(objects).map(({ kind }) => kind),
    ['NetworkPolicy', 'ConfigMap', 'Service', 'Unheard', 'Deployment', 'HorizontalPodAutoscaler', 'HTTPRoute'],
  )
})
