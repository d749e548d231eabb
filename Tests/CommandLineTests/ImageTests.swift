// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite(
  "lockstep image build", .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"))
struct ImageTests {
  private let scratch = Scratch()

  private func build(_ arguments: [String], by user: [String] = []) -> Program.Result {
    Program.run("/usr/bin/env", user + [Program.lockstep, "image", "build"] + arguments, seconds: 120)
  }

  /// A folder with a menu, and a file whose content is `content`.
  private func folder(_ content: String = "Good morning from a disk.\n") -> String {
    #expect(Program.run("/bin/mkdir", ["-p", "\(scratch.path)/tree/boot/grub"]).end == .exited(0))
    scratch.write("tree/boot/grub/grub.cfg", "menuentry nothing { true; }\n")
    scratch.write("tree/hello.txt", content)
    return "\(scratch.path)/tree"
  }

  /// What the file system in an image says.
  private func ask(_ image: String, _ request: String) -> String {
    Program.run("/usr/bin/env", ["PATH=/usr/sbin:/sbin", "debugfs", "-R", request, image]).output
  }

  private func expectSound(_ image: String) {
    let checked = Program.run("/usr/bin/env", ["PATH=/usr/sbin:/sbin", "e2fsck", "-fn", image])
    #expect(checked.end == .exited(0), "\(checked.output)")
  }

  @Test("makes a folder a disk, and a configuration that names it")
  func folderForm() {
    let image = "\(scratch.path)/disk.img"
    let result = build([folder(), image, "--size", "16", "--config", "\(scratch.path)/disk.cfg"])
    #expect(result.end == .exited(0) && result.error == "", "\(result.error)")
    #expect(result.output.hasPrefix("\(image): an ext4 disk of 16 MiB, 0 used\n"))
    #expect(ask(image, "cat /hello.txt") == "Good morning from a disk.\n")
    expectSound(image)
    #expect(scratch.read("disk.cfg").contains("name = \"disk\"\n"))
    #expect(scratch.read("disk.cfg").contains("target=\(image)\" ]"))

    let again = build([folder(), image])
    #expect(again.end == .exited(2))
    #expect(again.error == "lockstep: \(image) is there already; --force replaces it\n")
    #expect(ask(image, "cat /hello.txt") == "Good morning from a disk.\n")

    scratch.write("tree/hello.txt", "Good evening.\n")
    let forced = build([folder("Good evening.\n"), image, "--force", "--json"])
    #expect(forced.end == .exited(0))
    #expect(forced.output.hasPrefix("{\"bytes\":268435456,\"content\":"), "\(forced.output)")
    #expect(ask(image, "cat /hello.txt") == "Good evening.\n")
  }

  @Test(
    "gives all files to root, whoever makes the image", .enabled(if: geteuid() == 0, "only root can try it"))
  func owner() {
    let image = "\(scratch.path)/out/disk.img"
    let tree = folder()
    let prepare =
      "mkdir \(scratch.path)/out && chown -R nobody \(scratch.path) && chmod 700 \(scratch.path)/tree"
    #expect(Program.run("/bin/sh", ["-c", prepare]).end == .exited(0))
    let result = build(
      [tree, image, "--size", "16"], by: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    #expect(result.end == .exited(0), "\(result.error)")
    for name in ["/", "/boot/grub/grub.cfg", "/hello.txt"] {
      let stat = ask(image, "stat \(name)")
      #expect(stat.contains("User:     0") && stat.contains("Group:     0"), "\(name): \(stat)")
    }
    expectSound(image)
  }

  @Test("says what is wrong, leaves nothing behind, and ends with 2")
  func errors() {
    let image = "\(scratch.path)/disk.img"
    func expect(_ arguments: [String], _ message: String, by user: [String] = []) {
      let result = build(arguments, by: ["TMPDIR=\(scratch.path)"] + user)
      #expect(result.end == .exited(2), "\(arguments)")
      #expect(result.error.contains(message), "\(result.error)")
      #expect(access(image, F_OK) != 0)
    }
    expect(["/nowhere", image], "lockstep: /nowhere: there is no such folder")
    expect([folder(), "/dev/null"], "lockstep: /dev/null is no file")
    expect([folder(), image, "--size", "1"], "lockstep: an image has between 8 MiB and 16 TiB")
    expect([folder(), image, "--package", "x.deb"], "--package goes with debian")
    expect(["debian", image, "--package", "/nowhere.deb"], "package /nowhere.deb: there is no such file")
    scratch.write("tree/big", [UInt8](repeating: 1, count: 20 << 20))
    expect([folder(), image, "--size", "16"], "does not fit in 16 MiB; --size ")
    let none = ["PATH=\(scratch.path)"]
    expect(
      ["debian", image], "there is no program busybox; install it: apt-get install busybox-static", by: none)
    let left = Program.run(
      "/bin/sh", ["-c", "ls -d \(scratch.path)/lockstep-image-* \(scratch.path)/*.unfinished"])
    #expect(left.output == "")
  }

  @Test("leaves nothing behind when it is told to end")
  func interruption() {
    let tree = folder()
    let folders = ["\(scratch.path)/work", "\(scratch.path)/bin"]
    #expect(folders.allSatisfy { mkdir($0, 0o700) == 0 })
    // One that never ends.
    let program = scratch.write("bin/mke2fs", "#!/bin/sh\n: >\(scratch.path)/started\nexec sleep 60\n")
    #expect(chmod(program, 0o700) == 0)
    let child = ChildProcess(
      "/usr/bin/env",
      [
        "TMPDIR=\(scratch.path)/work", "PATH=\(scratch.path)/bin:/usr/bin:/bin", Program.lockstep, "image",
        "build", tree, "\(scratch.path)/disk.img",
      ],
      input: .file(path: "/dev/null", flags: O_RDONLY), output: .file(path: "/dev/null", flags: O_WRONLY),
      error: .file(path: "/dev/null", flags: O_WRONLY))
    for _ in 0..<3000 where access("\(scratch.path)/started", F_OK) != 0 { usleep(10_000) }
    child.send(SIGTERM)
    #expect(child.wait(seconds: 30) == .exited(2))
    let left = Program.run("/bin/sh", ["-c", "cd \(scratch.path) && ls -d disk* work/*"])
    #expect(left.output == "")
  }

  @Test("warns of a folder that GRUB finds no menu in, and of a kernel that it cannot unpack")
  func warnings() {
    let tree = folder()
    unlink("\(tree)/boot/grub/grub.cfg")
    scratch.write("tree/boot/vmlinuz-1", [0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0])
    let result = build([tree, "\(scratch.path)/disk.img", "--size", "16"])
    #expect(result.end == .exited(0))
    #expect(
      result.error == """
        lockstep: warning: \(tree) holds no boot/grub/grub.cfg: GRUB will show a prompt instead of a menu
        lockstep: warning: \(tree)/boot/vmlinuz-1 is packed by lz4, which GRUB 2.06 cannot unpack: unpack it before

        """)
  }
}
