/**
 * The published builds of ONNX Runtime for Linux and macOS send reports of their use to Microsoft: they keep an id of the machine and a
 * database of events in the home folder, and leave two files in the folder for temporary files for each process (seen with 1.30;
 * microsoft/onnxruntime pull request 27379). With this variable they do none of it. The variable counts if it is set before the library is
 * loaded, in the environment of the process: that of a worker thread is a copy. A value that is already set is kept.
 */
export function forbidTelemetry(): void {
  process.env['ORT_DISABLE_TELEMETRY'] ??= '1'
}
