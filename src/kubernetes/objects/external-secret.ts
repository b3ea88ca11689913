import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'

const REFRESH = '1h'

/** One for each Secret that the External Secrets Operator fills from Vault, AWS Secrets Manager and the like. Values never stand here. */
export function externalSecrets({ namespace, labels, options }: ResolvedKubernetes): KubernetesObject[] {
  const bySecret = Map.groupBy(
    (options.secrets ?? []).filter(({ external }) => external !== undefined),
    ({ secret }) => secret,
  )
  return [...bySecret].map(([secret, entries]) => {
    const { store, storeKind = 'SecretStore' } = entries[0]!.external!
    return {
      apiVersion: 'external-secrets.io/v1',
      kind: 'ExternalSecret',
      metadata: { name: secret, namespace, labels },
      spec: {
        refreshInterval: REFRESH,
        secretStoreRef: { name: store, kind: storeKind },
        target: { name: secret, creationPolicy: 'Owner' },
        data: entries.map(({ key, external }) => ({
          secretKey: key,
          remoteRef: { key: external!.key, ...(external!.property !== undefined && { property: external!.property }) },
        })),
      },
    }
  })
}
