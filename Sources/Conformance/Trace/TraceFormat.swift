// SPDX-License-Identifier: Apache-2.0
//
// A trace: the steps that the specifications took while a guest ran, in the order in which its operations ended.
// A text file, one JSON value a line:
//
//     {"format":"lockstep trace","version":1}
//     {"machine":"Ring","id":2,"scope":{"Index":256},"start":[…],"actions":["put(side:)","publish(side:)",…]}
//     [2,7,1,0]
//     {"diverged":2,"step":"back take","reason":"it takes 3, and 2 is next"}
//     {"ended":12345}
//
// The first line names the format. An object with "machine" begins a machine: which specification, at which scope,
// what its state holds otherwise than the specification says, and the names of its actions, by which steps number
// them. An array is a step: machine, action, arguments, and what the implementation answered. The last line of a
// recording that came to its end counts the steps; a recording that was killed lacks it, and its last line may be cut
// off.

import Foundation
import Logic

/// A scalar of a machine's state at the beginning of a trace that is not as the specification says.
struct TraceStart: Codable, Sendable, Hashable {
  var component: String
  var keys: [UInt64]
  var value: UInt64

  init(component: String, keys: [UInt64], value: UInt64) {
    (self.component, self.keys, self.value) = (component, keys, value)
  }

  init(_ start: StreamStart) {
    self.init(component: start.component, keys: start.keys, value: start.value)
  }

  /// - Returns: false if there is no such scalar, or it does not hold such a value.
  func apply(to simulator: Simulator) -> Bool {
    guard let index = simulator.layout.specification.componentIndex(component) else { return false }
    return simulator.set(index, keys, to: value)
  }
}

/// The first line.
struct TraceHeader: Codable, Sendable, Hashable {
  var format = Self.name
  var version = Self.current

  static let name = "lockstep trace"
  static let current = 1
}

/// The beginning of a machine.
struct TraceMachine: Codable, Sendable, Hashable {
  var machine: String
  var id: Int
  var scope: [String: UInt64]
  var start: [TraceStart]
  var actions: [String]
}

/// A divergence seen by the run that was recorded.
struct TraceDivergence: Codable, Sendable, Hashable {
  /// The machine's id.
  var diverged: Int
  var step: String
  var reason: String
}

/// The last line.
struct TraceEnd: Codable, Sendable, Hashable {
  /// Steps in all.
  var ended: Int
}

/// Lines of a trace.
enum TraceLine {
  /// A value as one line, its end included.
  static func encode(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Integers, strings and arrays of them always have an encoding.
    let line = (try? encoder.encode(value)) ?? Data()
    return Array(line) + [UInt8(ascii: "\n")]
  }

  /// Appends a step.
  static func append(_ step: SpecificationStep, of id: Int, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "["))
    append(UInt64(id), to: &bytes)
    bytes.append(UInt8(ascii: ","))
    append(UInt64(step.action), to: &bytes)
    for number in step.arguments {
      bytes.append(UInt8(ascii: ","))
      append(number, to: &bytes)
    }
    for number in step.results {
      bytes.append(UInt8(ascii: ","))
      append(number, to: &bytes)
    }
    bytes.append(UInt8(ascii: "]"))
    bytes.append(UInt8(ascii: "\n"))
  }

  private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
    let first = bytes.count
    var rest = number
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    } while rest != 0
    bytes[first...].reverse()
  }

  /// The numbers of a step's line; nil if it is none.
  static func numbers(_ line: ArraySlice<UInt8>) -> [UInt64]? {
    guard line.first == UInt8(ascii: "["), line.last == UInt8(ascii: "]"), line.count > 2 else { return nil }
    var numbers: [UInt64] = []
    var number: UInt64?
    for byte in line.dropFirst() {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        let (times, tooLarge) = (number ?? 0).multipliedReportingOverflow(by: 10)
        let (sum, overflows) = times.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
        if tooLarge || overflows { return nil }
        number = sum
      case UInt8(ascii: ","), UInt8(ascii: "]"):
        guard let complete = number else { return nil }
        numbers.append(complete)
        number = nil
      default: return nil
      }
    }
    return number == nil ? numbers : nil
  }
}
