// SPDX-License-Identifier: Apache-2.0

/// The lines of a trace, read piece by piece.
struct TraceLines {
  /// The number of the line read last.
  private(set) var number = 0
  private let file: TraceFileReader
  private var buffer: [UInt8] = []
  private var position = 0
  private var isAtEnd = false
  private static let piece = 1 << 20
  /// No line of a trace is so long; a file that has such a line is none.
  private static let longest = 1 << 24

  init(path: String) throws(TraceError) { file = try TraceFileReader(path: path) }

  /// The next line, without its end; nil after the last one.
  mutating func next() throws(TraceError) -> (bytes: ArraySlice<UInt8>, isComplete: Bool)? {
    var searched = position
    while true {
      if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { position = end + 1 }
        number += 1
        return (buffer[position..<end], true)
      }
      if isAtEnd || buffer.count - position > Self.longest {
        guard position < buffer.count else { return nil }
        defer { position = buffer.count }
        number += 1
        return (buffer[position...], false)
      }
      searched = buffer.count - position
      try fill()
    }
  }

  private mutating func fill() throws(TraceError) {
    buffer.removeSubrange(..<position)
    position = 0
    isAtEnd = try !file.read(Self.piece, into: &buffer)
  }
}
