/** What Slipway renders keeps all rules: in the form in which it is written, so that nothing is lost on the way. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { lint } from '../../../src/kubernetes/lint/lint.ts'
import { readManifests } from '../../../src/kubernetes/lint/read-manifests.ts'
import { manifestOf } from '../../../src/kubernetes/manifest.ts'
import { renderEndpoint } from '../../../src/kubernetes/render.ts'
import { KUBERNETES_ENDPOINTS } from '../specs.ts'

describe('what is rendered of each endpoint', () => {
  for (const [name, document] of KUBERNETES_ENDPOINTS)
    it(`${name} breaks no rule by an error or a warning`, () => {
      const { objects, unreadable } = readManifests(manifestOf(renderEndpoint(document)))
      assert.deepEqual(unreadable, [])
      const { findings, ignored } = lint(objects.map(({ object }) => object))
      const said = findings.filter(({ severity }) => severity !== 'advice')
      assert.deepEqual(
        said.map(({ rule, object, message }) => `${object.kind}/${object.metadata.name}: ${message} (${rule})`),
        [],
      )
      assert.deepEqual(ignored, [])
    })
})
