// Writes "newc" cpio archives, the format of a Linux initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
using System.Buffers;
using System.Globalization;
using System.Text;

namespace Sharpvisor.Cli.Guests;

/// <summary>Builds an initramfs in memory, one entry at a time; parents of a path are created as needed.</summary>
internal sealed class CpioArchive
{
    private const uint Directory = 0x4000;
    private const uint Regular = 0x8000;
    private const uint SymbolicLink = 0xA000;
    private const uint CharacterDevice = 0x2000;

    private readonly ArrayBufferWriter<byte> _content = new();
    private readonly HashSet<string> _directories = [];
    private uint _inode;

    public void AddFile(string path, ReadOnlySpan<byte> content, int permissions = 0x1A4 /* 0644 */)
    {
        AddParents(path);
        AddEntry(path, Regular | (uint)permissions, content);
    }

    /// <summary>A file with mode 0755.</summary>
    public void AddProgram(string path, ReadOnlySpan<byte> content) => AddFile(path, content, 0x1ED);

    public void AddScript(string path, string text) => AddProgram(path, Encoding.UTF8.GetBytes(text));

    public void AddSymbolicLink(string path, string target)
    {
        AddParents(path);
        AddEntry(path, SymbolicLink | 0x1FF, Encoding.UTF8.GetBytes(target));
    }

    public void AddDirectory(string path)
    {
        AddParents(path);
        if (_directories.Add(path))
        {
            AddEntry(path, Directory | 0x1ED, []);
        }
    }

    /// <summary>A character device node, for example /dev/console (5, 1).</summary>
    public void AddCharacterDevice(string path, uint major, uint minor)
    {
        AddParents(path);
        AddEntry(path, CharacterDevice | 0x180, [], major, minor);
    }

    /// <summary>Closes the archive and returns it, padded to 512 bytes.</summary>
    public byte[] ToArray()
    {
        AddEntry("TRAILER!!!", 0, []);
        Pad(512);
        return _content.WrittenSpan.ToArray();
    }

    private void AddParents(string path)
    {
        for (int slash = path.IndexOf('/', StringComparison.Ordinal); slash > 0; slash = path.IndexOf('/', slash + 1))
        {
            string parent = path[..slash];
            if (_directories.Add(parent))
            {
                AddEntry(parent, Directory | 0x1ED, []);
            }
        }
    }

    private void AddEntry(string path, uint mode, ReadOnlySpan<byte> content, uint major = 0, uint minor = 0)
    {
        uint links = (mode & 0xF000) == Directory ? 2u : 1u;
        ReadOnlySpan<uint> fields =
        [
            ++_inode, mode, 0, 0, links, 0, (uint)content.Length, 0, 0, major, minor, (uint)Encoding.UTF8.GetByteCount(path) + 1, 0,
        ];
        var header = new StringBuilder("070701");
        foreach (uint field in fields)
        {
            header.Append(field.ToString("X8", CultureInfo.InvariantCulture));
        }

        _content.Write(Encoding.UTF8.GetBytes(header.Append(path).Append('\0').ToString()));
        Pad(4);
        _content.Write(content);
        Pad(4);
    }

    private void Pad(int alignment)
    {
        int bytes = -_content.WrittenCount & (alignment - 1);
        _content.GetSpan(bytes)[..bytes].Clear();
        _content.Advance(bytes);
    }
}
