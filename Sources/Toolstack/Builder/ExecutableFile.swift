// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a kernel image, to stand behind its path in a message.
struct ImageProblem: Error, Sendable, Hashable {
  var message: String

  init(_ message: String) { self.message = message }
}

/// The parts of a 64-bit ELF file that a loader needs. The file is hostile: each offset and size in it is checked
/// here, once; what this type hands out lies within the file.
/// Source: the System V ABI's ELF chapter, and its x86-64 supplement.
struct ExecutableFile: Sendable {
  /// A PT_LOAD entry.
  struct Segment: Sendable, Hashable {
    /// Its content in the file; may be shorter than `memorySize`, the rest is zero.
    var content: Range<Int>
    var physicalAddress: UInt64
    /// Bytes in memory, at least `content.count`.
    var memorySize: UInt64
  }

  /// A note: an owner's name, a type that the owner defines, and where its value lies in the file.
  struct Note: Sendable, Hashable {
    var owner: String
    var type: UInt32
    var content: Range<Int>
  }

  /// Headers and notes that are looked at; real kernels have some 10 and some 20.
  static let maximumHeaders = 256
  static let maximumNotes = 1024

  let reader: ByteReader
  let entry: UInt64
  let segments: [Segment]
  let notes: [Note]
  /// A program that something else loads libraries for (PT_INTERP).
  let needsInterpreter: Bool
  /// The content of the section `__xen_guest`, the older form of notes.
  let guestSection: Range<Int>?

  init(_ bytes: [UInt8]) throws(ImageProblem) {
    reader = ByteReader(bytes: bytes)
    try Self.checkKind(reader)
    guard let entry = reader.integer(at: 24, as: UInt64.self) else { throw Self.truncated }
    self.entry = entry
    let programs = try Self.programs(reader)
    segments = try programs.filter { $0.type == 1 }.map { header throws(ImageProblem) in try header.segment()
    }
    // What is loaded is copied: no more than the file is long, however many headers name the same bytes.
    guard segments.reduce(0, { $0 + $1.content.count }) <= bytes.count else {
      throw ImageProblem("damaged: its segments share parts of the file")
    }
    needsInterpreter = programs.contains { $0.type == 3 }
    let sections = Self.sections(reader)
    // A linker need not give notes a program header; sections hold them too.
    let inSegments = Self.notes(in: programs.filter { $0.type == 4 }.map(\.content), reader)
    let inSections = Self.notes(in: sections.filter { $0.type == 7 }.map(\.content), reader)
    notes = inSegments.contains { $0.owner == "Xen" } ? inSegments : inSegments + inSections
    guestSection = sections.first { $0.name == "__xen_guest" }?.content
  }

  private static let truncated = ImageProblem("the file is cut off; copy it again")

  /// Is it an ELF file for x86-64, and a program rather than a library or an object?
  private static func checkKind(_ reader: ByteReader) throws(ImageProblem) {
    guard reader.integer(at: 0, as: UInt32.self) == 0x464c_457f else {
      throw ImageProblem("not a PV kernel: it is no ELF file")
    }
    guard reader.integer(at: 4, as: UInt8.self) == 2, reader.integer(at: 5, as: UInt8.self) == 1,
      reader.integer(at: 18, as: UInt16.self) == 62
    else {
      throw ImageProblem("an ELF file, but not for x86-64; only 64-bit PV kernels are supported")
    }
  }

  // MARK: program headers

  private struct Program {
    var type: UInt32
    var content: Range<Int>
    var physicalAddress: UInt64
    var memorySize: UInt64

    func segment() throws(ImageProblem) -> Segment {
      guard memorySize >= UInt64(content.count) else {
        throw ImageProblem("damaged: a segment is larger in the file than in memory")
      }
      return Segment(content: content, physicalAddress: physicalAddress, memorySize: memorySize)
    }
  }

  private static func programs(_ reader: ByteReader) throws(ImageProblem) -> [Program] {
    guard let offset = reader.integer(at: 32, as: UInt64.self),
      let size = reader.integer(at: 54, as: UInt16.self),
      let count = reader.integer(at: 56, as: UInt16.self)
    else { throw truncated }
    guard count == 0 || size >= 56, count <= maximumHeaders else {
      throw ImageProblem("damaged: its program headers make no sense")
    }
    var programs: [Program] = []
    for index in 0..<UInt64(count) {
      guard let start = offset.advanced(by: index * UInt64(size)), reader.range(start, 56) != nil,
        let type = reader.integer(at: start, as: UInt32.self),
        let fileOffset = reader.integer(at: start + 8, as: UInt64.self),
        let physical = reader.integer(at: start + 24, as: UInt64.self),
        let fileSize = reader.integer(at: start + 32, as: UInt64.self),
        let memorySize = reader.integer(at: start + 40, as: UInt64.self)
      else { throw truncated }
      guard [1, 3, 4].contains(type) else { continue }
      guard let content = reader.range(fileOffset, fileSize) else { throw truncated }
      programs.append(
        Program(type: type, content: content, physicalAddress: physical, memorySize: memorySize))
    }
    return programs
  }

  // MARK: sections

  private struct Section {
    var name: String
    var type: UInt32
    var content: Range<Int>
  }

  /// The sections that make sense; a loader can do without any.
  private static func sections(_ reader: ByteReader) -> [Section] {
    guard let offset = reader.integer(at: 40, as: UInt64.self), offset != 0,
      let size = reader.integer(at: 58, as: UInt16.self), size >= 64,
      let count = reader.integer(at: 60, as: UInt16.self), count <= maximumHeaders,
      let namesIndex = reader.integer(at: 62, as: UInt16.self), namesIndex < count
    else { return [] }
    func header(_ index: UInt64) -> (name: UInt32, type: UInt32, content: Range<Int>)? {
      guard let start = offset.advanced(by: index * UInt64(size)), reader.range(start, 64) != nil,
        let name = reader.integer(at: start, as: UInt32.self),
        let type = reader.integer(at: start + 4, as: UInt32.self), type != 8,
        let fileOffset = reader.integer(at: start + 24, as: UInt64.self),
        let fileSize = reader.integer(at: start + 32, as: UInt64.self),
        let content = reader.range(fileOffset, fileSize)
      else { return nil }
      return (name, type, content)
    }
    guard let names = header(UInt64(namesIndex))?.content else { return [] }
    return (0..<UInt64(count)).compactMap { index in
      guard let found = header(index), Int(found.name) < names.count else { return nil }
      let start = names.lowerBound + Int(found.name)
      // Names are short; the cut keeps a hostile table of one endless name from being read over and over.
      let end = min(names.upperBound, start + 64)
      return Section(name: reader.text(in: start..<end), type: found.type, content: found.content)
    }
  }

  // MARK: notes

  private static func notes(in ranges: [Range<Int>], _ reader: ByteReader) -> [Note] {
    ranges.flatMap { notes(in: $0, reader) }
  }

  /// The notes of a segment or section, up to the first that makes no sense. Each part is padded to 4 bytes.
  private static func notes(in range: Range<Int>, _ reader: ByteReader) -> [Note] {
    var notes: [Note] = []
    var offset = UInt64(range.lowerBound)
    let end = UInt64(range.upperBound)
    while notes.count < maximumNotes, offset + 12 <= end,
      let nameSize = reader.integer(at: offset, as: UInt32.self),
      let size = reader.integer(at: offset + 4, as: UInt32.self),
      let type = reader.integer(at: offset + 8, as: UInt32.self)
    {
      let content = offset + 12 + (UInt64(nameSize) + 3) & ~3
      let next = content + (UInt64(size) + 3) & ~3
      guard content + UInt64(size) <= end, nameSize <= 64,
        let name = reader.range(offset + 12, UInt64(nameSize)),
        let value = reader.range(content, UInt64(size))
      else { break }
      notes.append(Note(owner: reader.text(in: name), type: type, content: value))
      offset = next
    }
    return notes
  }
}
