/** Endpoints and their revisions in the JSON of `/api/v1`. */
import { modelsOf } from '../../contract/endpoint.ts'
import { API_VERSION } from '../../contract/schema.ts'
import type { EndpointAnswer, RevisionAnswer } from '../../contract/delivery-api.ts'
import type { EndpointStatus } from '../../delivery/delivery.ts'
import type { Principal } from '../access.ts'
import type { Revision } from '../../delivery/revisions.ts'

export function revisionAnswer({ rolledBackTo, reason, variants, ...revision }: Revision): RevisionAnswer {
  return {
    ...revision,
    variants: [...variants],
    ...(rolledBackTo !== undefined && { rolledBackTo }),
    ...(reason !== undefined && { reason }),
  }
}

export function endpointAnswer({ endpoint, conditions, servers }: EndpointStatus, caller?: Principal): EndpointAnswer {
  const {
    name,
    environment,
    labels,
    generation,
    resourceVersion,
    managedBy,
    createdAt,
    updatedAt,
    spec,
    revision,
    suspended,
    nextFollowAt,
  } = endpoint
  const { revision: _revision, beside: _beside, ...routing } = endpoint.routing
  return {
    apiVersion: API_VERSION,
    kind: 'Endpoint',
    metadata: {
      name,
      environment,
      labels,
      generation,
      resourceVersion: String(resourceVersion),
      ...(managedBy !== undefined && { managedBy }),
      createdAt,
      updatedAt,
    },
    spec,
    ...(caller !== undefined && {
      actions: caller.actions({ environment, models: modelsOf(spec) }),
    }),
    status: {
      observedGeneration: revision.generation,
      conditions: [...conditions],
      revision: revisionAnswer(revision),
      routing,
      ...(suspended !== undefined && { suspended }),
      ...(nextFollowAt !== undefined && { nextFollowAt }),
      servers: servers.map(({ versions, ...report }) => ({ ...report, versions: [...versions] })),
    },
  }
}
