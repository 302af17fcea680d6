// The guest service interface: copies a host file into the guest through hv_fcopy_daemon (drivers/hv/hv_fcopy.c; wire format:
// include/uapi/linux/hyperv.h, struct hv_start_fcopy and hv_do_fcopy).
using System.Buffers.Binary;
using System.Text;

namespace Sharpvisor.Vsp.Integration;

/// <summary>Writes files in the guest. Needs the driver and its daemon in the guest.</summary>
public sealed class FileCopyVsp : IntegrationService
{
    private const uint Start = 0;
    private const uint Write = 1;
    private const uint Complete = 2;
    private const uint Cancel = 3;
    private const uint OverWrite = 1;
    private const uint CreatePath = 2;

    // struct hv_fcopy_hdr: operation and two unused service ids.
    private const int HeaderBytes = 36;
    private const int PathBytes = 520;
    private const int StartBytes = HeaderBytes + (2 * PathBytes) + 4 + 8;
    // DATA_FRAGMENT.
    private const int FragmentBytes = 6 * 1024;
    private const int Offset = HeaderBytes + 4;
    private const int Size = Offset + 8;
    private const int Data = Size + 4;

    private readonly SemaphoreSlim _copying = new(1, 1);

    public FileCopyVsp()
        : base(
            "filecopy",
            IcMessageType.FileCopy,
            (new("34d14be3-dee4-41c8-9ae7-6b174977c192"), new("eb765408-105f-49b6-b4aa-c123b64d17d4")),
            new IcVersion(1, 1))
    {
    }

    /// <summary>Copies a stream into a new file of the guest.</summary>
    /// <param name="source">Read from where it stands to its end.</param>
    /// <param name="destination">Absolute path in the guest.</param>
    /// <param name="overwrite">A file that exists is replaced; otherwise that is an error.</param>
    /// <param name="createDirectories">Directories that are missing are made.</param>
    /// <param name="cancellation">Gives up; the guest deletes what it has.</param>
    /// <returns>Bytes copied.</returns>
    /// <exception cref="ArgumentException">The path is not absolute or too long.</exception>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public async Task<long> CopyAsync(
        Stream source, string destination, bool overwrite = false, bool createDirectories = false, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        byte[] start = StartMessage(destination, source.CanSeek ? source.Length - source.Position : 0, overwrite, createDirectories);
        await _copying.WaitAsync(cancellation);
        try
        {
            await AskAsync(start, destination, cancellation);
            try
            {
                long copied = await WriteAllAsync(source, destination, cancellation);
                await AskAsync(Message(Complete, HeaderBytes), destination, cancellation);
                return copied;
            }
            catch
            {
                await CancelAsync();
                throw;
            }
        }
        finally
        {
            _copying.Release();
        }
    }

    private protected override void Dispose(bool disposing)
    {
        _copying.Dispose();
        base.Dispose(disposing);
    }

    private async Task<long> WriteAllAsync(Stream source, string destination, CancellationToken cancellation)
    {
        byte[] message = Message(Write, Data + FragmentBytes);
        long offset = 0;
        int read;
        while ((read = await source.ReadAtLeastAsync(message.AsMemory(Data), FragmentBytes, throwOnEndOfStream: false, cancellation)) > 0)
        {
            BinaryPrimitives.WriteInt64LittleEndian(message.AsSpan(Offset), offset);
            BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(Size), read);
            await AskAsync(message, destination, cancellation);
            offset += read;
        }

        return offset;
    }

    private async Task CancelAsync()
    {
        try
        {
            _ = await RequestAsync(Message(Cancel, HeaderBytes), CancellationToken.None);
        }
        catch (IntegrationException)
        {
            // The first failure is the one to report.
        }
    }

    private async Task AskAsync(byte[] message, string destination, CancellationToken cancellation)
    {
        uint status = (await RequestAsync(message, cancellation)).Status;
        string? problem = status switch
        {
            IcStatus.Ok => null,
            IcStatus.AlreadyExists => "exists already",
            IcStatus.DiskFull => "the guest's disk is full",
            _ => $"the guest cannot write it (status {status:x8})",
        };
        if (problem is not null)
        {
            throw new IntegrationException($"filecopy: {destination}: {problem}", status);
        }
    }

    private static byte[] Message(uint operation, int bytes)
    {
        byte[] message = new byte[bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(message, operation);
        return message;
    }

    private static byte[] StartMessage(string destination, long bytes, bool overwrite, bool createDirectories)
    {
        int slash = destination.LastIndexOf('/');
        string file = destination[(slash + 1)..];
        // With its slash: the daemon makes and checks the directories that end in one (hv_fcopy_start).
        string path = destination[..(slash + 1)];
        if (!path.StartsWith('/') || file.Length == 0 || path.Length >= PathBytes / 2 || file.Length >= PathBytes / 2
            || Encoding.UTF8.GetByteCount(destination) >= PathBytes / 2)
        {
            throw new ArgumentException($"{destination}: not an absolute path of a file in the guest, or too long", nameof(destination));
        }

        byte[] message = Message(Start, StartBytes);
        Encoding.Unicode.GetBytes(file, message.AsSpan(HeaderBytes));
        Encoding.Unicode.GetBytes(path, message.AsSpan(HeaderBytes + PathBytes));
        const int Flags = HeaderBytes + (2 * PathBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(Flags), (overwrite ? OverWrite : 0) | (createDirectories ? CreatePath : 0));
        BinaryPrimitives.WriteInt64LittleEndian(message.AsSpan(Flags + 4), bytes);
        return message;
    }
}
