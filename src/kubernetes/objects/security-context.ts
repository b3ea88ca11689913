/** What the restricted Pod Security Standard asks for. */

/** Of the user in images of ours, and of every restricted pod: anybody but root. */
const USER = 65_532

/** Of a pod. */
export const RESTRICTED_POD = {
  runAsNonRoot: true,
  runAsUser: USER,
  runAsGroup: USER,
  fsGroup: USER,
  seccompProfile: { type: 'RuntimeDefault' },
} as const

/** Of its containers, with a root that cannot be written, which the standard leaves open. */
export const RESTRICTED_CONTAINER = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
} as const
