// Opening images: formats by content, refusals with one clear line, locks.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.Storage.Vhd;
using Xunit;

[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]

namespace Sharpvisor.Storage.Tests;

public sealed class DiskImageTests
{
    [Fact]
    public void A_missing_file_is_named_in_the_message()
    {
        DiskException e = Assert.Throws<DiskException>(() => DiskImage.Open("/nonexistent/disk.img", readOnly: true));
        Assert.Equal("disk '/nonexistent/disk.img': no such file", e.Message);
    }

    [Fact]
    public void A_directory_is_refused() =>
        Assert.EndsWith(": is a directory", Refusal(Path.GetTempPath()), StringComparison.Ordinal);

    [Theory]
    [InlineData(0, "is empty")]
    [InlineData(511, "its size, 511 bytes, is not a multiple of 512")]
    [InlineData(1025, "its size, 1025 bytes, is not a multiple of 512")]
    public void A_raw_image_must_hold_whole_sectors(int bytes, string complaint)
    {
        using var file = new TemporaryFile(bytes);
        Assert.Equal($"disk '{file.Path}': {complaint}", Refusal(file.Path));
    }

    [Fact]
    public void A_raw_image_has_the_size_of_its_file_and_a_stable_identity()
    {
        using var file = new TemporaryFile(1 << 20);
        Guid id;
        using (IDisk disk = DiskImage.Open(file.Path, readOnly: false))
        {
            Assert.Equal((1 << 20, 512, 4096, false), (disk.Bytes, disk.LogicalSectorBytes, disk.PhysicalSectorBytes, disk.IsReadOnly));
            id = disk.Id;
        }

        using IDisk again = DiskImage.Open(file.Path, readOnly: false);
        Assert.Equal(id, again.Id);
    }

    [Fact]
    public void A_disk_in_use_is_refused_until_it_is_closed()
    {
        using var file = new TemporaryFile(4096);
        using (DiskImage.Open(file.Path, readOnly: false))
        {
            Assert.EndsWith(": is in use by another VM", Refusal(file.Path), StringComparison.Ordinal);
            Assert.EndsWith(": is in use by another VM", Refusal(file.Path, readOnly: true), StringComparison.Ordinal);
        }

        DiskImage.Open(file.Path, readOnly: false).Dispose();
    }

    [Fact]
    public void Read_only_disks_are_shared_with_readers_only()
    {
        using var file = new TemporaryFile(4096);
        using IDisk first = DiskImage.Open(file.Path, readOnly: true);
        using IDisk second = DiskImage.Open(file.Path, readOnly: true);
        Assert.EndsWith(": is in use by another VM", Refusal(file.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_without_permission_is_refused()
    {
        Assert.SkipWhen(Environment.UserName == "root", "root may open every file");
        using var file = new TemporaryFile(4096);
        File.SetUnixFileMode(file.Path, UnixFileMode.UserRead);
        Assert.EndsWith(": no permission to read and write it", Refusal(file.Path), StringComparison.Ordinal);
        DiskImage.Open(file.Path, readOnly: true).Dispose();
    }

    [Fact]
    public async Task A_fixed_VHD_shows_its_data_without_the_footer()
    {
        byte[] image = Vhd(type: 2, bytes: 8192);
        image[512] = 0xAB;
        using var file = new TemporaryFile(image);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: false);
        Assert.Equal(8192, disk.Bytes);
        Assert.Equal(new Guid(image.AsSpan(8192 + 68, 16)), disk.Id);

        byte[] sector = new byte[512];
        Assert.Equal(DiskStatus.Success, await disk.ReadAsync(512, [sector.AsMemory()]));
        Assert.Equal(0xAB, sector[0]);
        Assert.Equal(DiskStatus.OutOfRange, await disk.WriteAsync(8192, [sector.AsMemory()]));
    }

    [Theory]
    [InlineData(3u, "dynamic VHDs are not supported yet; convert it to a fixed VHD or a raw image")]
    [InlineData(4u, "differencing VHDs are not supported yet; convert it to a fixed VHD or a raw image")]
    [InlineData(7u, "its VHD footer names an unknown disk type, 7")]
    public void Other_VHD_types_are_refused(uint type, string complaint)
    {
        using var file = new TemporaryFile(Vhd(type, 4096));
        Assert.Equal($"disk '{file.Path}': {complaint}", Refusal(file.Path));
    }

    [Fact]
    public void A_VHD_with_a_damaged_footer_is_refused()
    {
        byte[] image = Vhd(type: 2, bytes: 4096);
        image[4096 + 30] ^= 1;
        using var file = new TemporaryFile(image);
        Assert.EndsWith(": its VHD footer is damaged (wrong checksum)", Refusal(file.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(8192)]
    [InlineData(0)]
    [InlineData(-512)]
    [InlineData(700)]
    public void A_VHD_whose_size_cannot_be_true_is_refused(long promised)
    {
        byte[] image = Vhd(type: 2, bytes: 4096);
        BinaryPrimitives.WriteInt64BigEndian(image.AsSpan(4096 + 48), promised);
        Sign(image.AsSpan(4096));
        using var file = new TemporaryFile(image);
        Assert.Contains("is truncated", Refusal(file.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_VHDX_is_refused()
    {
        byte[] image = new byte[4096];
        "vhdxfile"u8.CopyTo(image);
        using var file = new TemporaryFile(image);
        Assert.Contains("VHDX images are not supported yet", Refusal(file.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void An_ISO_image_is_recognised_read_only_and_shared()
    {
        byte[] image = new byte[40 * 1024];
        "CD001"u8.CopyTo(image.AsSpan(32769));
        using var file = new TemporaryFile(image);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: false);
        Assert.Equal((2048, true), (disk.LogicalSectorBytes, disk.IsReadOnly));
        DiskImage.Open(file.Path, readOnly: false).Dispose();
    }

    private static string Refusal(string path, bool readOnly = false) =>
        Assert.Throws<DiskException>(() => DiskImage.Open(path, readOnly)).Message;

    private static byte[] Vhd(uint type, int bytes)
    {
        byte[] image = new byte[bytes + 512];
        Span<byte> footer = image.AsSpan(bytes);
        "conectix"u8.CopyTo(footer);
        BinaryPrimitives.WriteUInt64BigEndian(footer[16..], ulong.MaxValue);
        BinaryPrimitives.WriteInt64BigEndian(footer[40..], bytes);
        BinaryPrimitives.WriteInt64BigEndian(footer[48..], bytes);
        BinaryPrimitives.WriteUInt32BigEndian(footer[60..], type);
        new Guid("00112233-4455-6677-8899-aabbccddeeff").TryWriteBytes(footer[68..]);
        Sign(footer);
        return image;
    }

    private static void Sign(Span<byte> footer) =>
        BinaryPrimitives.WriteUInt32BigEndian(footer[64..], VhdFooter.Checksum(footer));
}
