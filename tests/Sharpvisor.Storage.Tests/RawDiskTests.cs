// A file as a disk: extents, scatter/gather, holes, and a host that refuses.
using System.Diagnostics;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Storage.Tests;

public sealed class RawDiskTests
{
    [Fact]
    public async Task Scattered_writes_and_reads_meet_in_the_file()
    {
        byte[] content = RandomNumberGenerator.GetBytes(300 * 1024);
        using var file = new TemporaryFile(1 << 20);
        using (IDisk disk = DiskImage.Open(file.Path, readOnly: false))
        {
            Assert.Equal(DiskStatus.Success, await disk.WriteAsync(4096, Scatter(content, 700)));
            byte[] back = new byte[content.Length];
            Assert.Equal(DiskStatus.Success, await disk.ReadAsync(4096, Scatter(back, 1234)));
            Assert.Equal(content, back);
            Assert.Equal(DiskStatus.Success, await disk.FlushAsync());
        }

        Assert.Equal(content, File.ReadAllBytes(file.Path).AsSpan(4096, content.Length).ToArray());
    }

    [Theory]
    [InlineData(8192, 512)]
    [InlineData(7680, 1024)]
    [InlineData(-512, 512)]
    [InlineData(long.MaxValue - 511, 512)]
    public async Task Extents_beyond_the_end_are_out_of_range(long offset, int bytes)
    {
        using var file = new TemporaryFile(8192);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: false);
        byte[] buffer = new byte[bytes];
        Assert.Equal(DiskStatus.OutOfRange, await disk.ReadAsync(offset, [buffer.AsMemory()]));
        Assert.Equal(DiskStatus.OutOfRange, await disk.WriteAsync(offset, [buffer.AsMemory()]));
        Assert.Equal(DiskStatus.OutOfRange, await disk.UnmapAsync(offset, bytes));
        Assert.Equal(8192, new FileInfo(file.Path).Length);
    }

    [Fact]
    public async Task A_read_only_disk_refuses_to_change()
    {
        using var file = new TemporaryFile(4096);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: true);
        Assert.Equal(DiskStatus.WriteProtected, await disk.WriteAsync(0, [new byte[512].AsMemory()]));
        Assert.Equal(DiskStatus.WriteProtected, await disk.UnmapAsync(0, 512));
        Assert.Equal(DiskStatus.Success, await disk.FlushAsync());
    }

    [Fact]
    public async Task Unmapped_extents_read_as_zeros_and_the_file_keeps_its_size()
    {
        using var file = new TemporaryFile(RandomNumberGenerator.GetBytes(1 << 20));
        using (IDisk disk = DiskImage.Open(file.Path, readOnly: false))
        {
            Assert.Equal(DiskStatus.Success, await disk.UnmapAsync(65536, 131072));
        }

        byte[] after = File.ReadAllBytes(file.Path);
        Assert.Equal(1 << 20, after.Length);
        Assert.False(after.AsSpan(65536, 131072).ContainsAnyExcept((byte)0));
        Assert.True(after.AsSpan(0, 65536).ContainsAnyExcept((byte)0));
    }

    [Fact]
    public async Task A_file_cut_short_under_us_gives_read_errors()
    {
        using var file = new TemporaryFile(8192);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: false);
        using (FileStream other = new(file.Path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            other.SetLength(4096);
        }

        byte[] buffer = new byte[8192];
        Assert.Equal(DiskStatus.ReadError, await disk.ReadAsync(0, [buffer.AsMemory()]));
    }

    [Fact]
    public async Task A_full_device_gives_write_errors()
    {
        SafeFileHandle full = File.OpenHandle("/dev/full", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        using var disk = new RawDisk(full, new DiskGeometry(1 << 20, 512, 512, Guid.NewGuid()), isReadOnly: false);
        Assert.Equal(DiskStatus.WriteError, await disk.WriteAsync(0, [new byte[4096].AsMemory()]));
    }

    [Fact]
    public async Task A_full_file_system_gives_write_errors_and_the_disk_lives_on()
    {
        string directory = Directory.CreateTempSubdirectory("sv-full-").FullName;
        bool isMounted = Run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory);
        try
        {
            Assert.SkipUnless(isMounted, "mounting a small tmpfs needs privileges");
            string path = Path.Combine(directory, "disk.img");
            using (FileStream file = File.Create(path))
            {
                file.SetLength(8 << 20);
            }

            using IDisk disk = DiskImage.Open(path, readOnly: false);
            Assert.Equal(DiskStatus.WriteError, await disk.WriteAsync(0, [new byte[4 << 20].AsMemory()]));
            Assert.Equal(DiskStatus.Success, await disk.UnmapAsync(0, 8 << 20));
            Assert.Equal(DiskStatus.Success, await disk.WriteAsync(0, [new byte[4096].AsMemory()]));
        }
        finally
        {
            if (isMounted)
            {
                Run("umount", directory);
            }

            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Many_requests_at_once_end_each_with_its_own_result()
    {
        using var file = new TemporaryFile(64 * 4096);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: false);
        Task<DiskStatus>[] writes = [.. Enumerable.Range(0, 64).Select(i => WriteBlock(disk, i))];
        Assert.All(await Task.WhenAll(writes), status => Assert.Equal(DiskStatus.Success, status));
        byte[] content = File.ReadAllBytes(file.Path);
        Assert.All(Enumerable.Range(0, 64), i => Assert.Equal((byte)i, content[(i * 4096) + 17]));
    }

    [Fact]
    public async Task A_disk_may_be_closed_from_a_write_s_completion_with_others_queued()
    {
        using var file = new TemporaryFile(64 * 4096);
        IDisk disk = DiskImage.Open(file.Path, readOnly: false);
        Task<DiskStatus>[] writes = [.. Enumerable.Range(0, 64).Select(i => WriteBlock(disk, i))];
        Task closed = writes[0].ContinueWith(
            _ => disk.Dispose(), TestContext.Current.CancellationToken, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        await closed.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.All(await Task.WhenAll(writes), status => Assert.Equal(DiskStatus.Success, status));
    }

    private static Task<DiskStatus> WriteBlock(IDisk disk, int index)
    {
        byte[] block = new byte[4096];
        block.AsSpan().Fill((byte)index);
        return disk.WriteAsync(index * 4096, [block.AsMemory()]).AsTask();
    }

    private static SegmentList Scatter(byte[] content, int piece)
    {
        var list = new SegmentList();
        for (int i = 0; i < content.Length; i += piece)
        {
            list.Add(content.AsMemory(i, Math.Min(piece, content.Length - i)));
        }

        return list;
    }

    private static bool Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
