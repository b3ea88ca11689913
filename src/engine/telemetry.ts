/**
 * ONNX Runtime 1.30 for Linux keeps an identifier of the machine and a database of events under `~/.cache/Microsoft`, logs
 * beside them in the temporary folder, and sends the events to its maker, unless this variable says otherwise before the
 * library is loaded (microsoft/onnxruntime, pull request 27379). Whoever wants that sets it to 0.
 *
 * To be called on the main thread of a process: in a worker thread `process.env` is a copy that native code does not see.
 */
export function turnOffTelemetry(): void {
  process.env['ORT_DISABLE_TELEMETRY'] ??= '1'
}
