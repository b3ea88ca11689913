/** Statuses of logged models as MLflow's protocol names them and as they are stored, in the order of a model's life. */
export const LOGGED_MODEL_STATUSES = ['LOGGED_MODEL_PENDING', 'LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED'] as const
export type LoggedModelStatus = (typeof LOGGED_MODEL_STATUSES)[number]

/** These statuses and the one that only imported models may have, each with the name that clients use (`READY`). */
export const NAMED_STATUSES: readonly { readonly stored: string; readonly name: string }[] = [
  'LOGGED_MODEL_STATUS_UNSPECIFIED',
  ...LOGGED_MODEL_STATUSES,
].map((stored) => ({ stored, name: stored.replace(/^LOGGED_MODEL_(?:STATUS_|UPLOAD_)?/, '') }))
