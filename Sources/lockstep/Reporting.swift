// SPDX-License-Identifier: Apache-2.0
//
// What the verbs of the specification side share: progress, JSON, files, interruption.

import ArgumentParser
import Foundation
import Synchronization

/// Options that every checking verb has.
struct ReportingOptions: ParsableArguments {
  @Flag(name: .long, help: "One JSON object a line on standard output instead of text.")
  var json = false

  @Flag(name: [.short, .long], help: "Print results only: no progress.")
  var quiet = false
}

/// A line that is rewritten in place on a terminal's standard error, by any thread; nothing anywhere else.
final class ProgressLine: Sendable {
  private let isShown: Bool
  private let width = Mutex(0)

  init(_ options: ReportingOptions) {
    isShown = !options.quiet && !options.json && isatty(STDERR_FILENO) == 1
  }

  func show(_ text: String) {
    guard isShown else { return }
    width.withLock { width in
      let padding = String(repeating: " ", count: max(0, width - text.count))
      FileHandle.standardError.write(Data("\r\(text)\(padding)".utf8))
      width = text.count
    }
  }

  func clear() {
    show("")
    if isShown { FileHandle.standardError.write(Data("\r".utf8)) }
  }
}

/// Prints a value as one line of JSON.
func printJSON(_ value: some Encodable) throws { print(try jsonLine(value)) }

/// A value as one line of JSON, keys sorted.
func jsonLine(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// Writes a file, and the folder that it is to lie in, or says in one line why not.
func save(_ text: String, to name: String, in folder: String? = nil) throws {
  let path = folder.map { "\($0)/\(name)" } ?? name
  do {
    if let folder {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    try text.write(toFile: path, atomically: true, encoding: .utf8)
  } catch {
    throw CouldNotRun("\(path) cannot be written: \(error.localizedDescription)")
  }
}

/// Notes the first SIGINT or SIGTERM, so that long work ends in good order; the second ends the process.
enum Interruption {
  private static let isRequested = Atomic<Bool>(false)

  static func watch() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interruption.isRequested.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }

  /// Ends the process with status 2 at the first SIGINT or SIGTERM, after `cleanUp`: for work that many threads are in
  /// the midst of, and of which nothing is lost.
  /// - Returns: what must be kept for as long as this is to be so.
  static func end(after cleanUp: @escaping @Sendable () -> Void) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        cleanUp()
        FileHandle.standardError.write(Data("lockstep: interrupted\n".utf8))
        fflush(nil)
        _exit(ExitStatus.couldNotRun.rawValue)
      }
      source.resume()
      return source
    }
  }

  static var wanted: Bool { isRequested.load(ordering: .relaxed) }
}

/// Columns of text, as wide as they need to be.
func table(_ header: [String], _ rows: [[String]]) -> String {
  let all = [header] + rows
  let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
  func line(_ row: [String]) -> String {
    zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
      .joined(separator: "  ").trimmingTrailingSpaces
  }
  return
    ([line(header), widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")]
    + rows.map(line)).joined(separator: "\n")
}

extension String {
  var trimmingTrailingSpaces: String {
    var text = self
    while text.hasSuffix(" ") { text.removeLast() }
    return text
  }
}
