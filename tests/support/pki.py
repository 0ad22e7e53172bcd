#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a small PKI of card issuers, right and wrong in many ways, with revocation lists and OCSP answers:
tests/support/pki.py FOLDER. Each is a file NAME.der. Keys are made anew each time; moments are fixed."""

import datetime
import subprocess
import sys
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID, ObjectIdentifier

OUT = Path(sys.argv[1])
warnings.simplefilter("ignore")  # SHA-1 is meant to be refused
START, END = datetime.datetime(2026, 1, 1), datetime.datetime(2036, 1, 1)
POLICY = "2.16.840.1.101.3.2.1.3.13"  # id-fpki-common-authentication
OTHER_POLICY = "2.16.840.1.101.3.2.1.3.17"
ANY_POLICY = "2.5.29.32.0"
CARD_AUTH = "2.16.840.1.101.3.6.8"
CRL_URL = "http://127.0.0.1/issuer.crl"
SHARD_URL = "http://127.0.0.1/shard-1.crl"
SHA256 = hashes.SHA256()


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


KEYS = {"p256": ec.generate_private_key(ec.SECP256R1()), "p384": ec.generate_private_key(ec.SECP384R1())}
SERIAL = [1000]


def key(kind):
    """Elliptic keys anew, RSA keys, which take long, one of each size and number."""
    if kind in ("p256", "p384", "p521", "k1"):
        curve = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "k1": ec.SECP256K1}[kind]
        return ec.generate_private_key(curve())
    if kind not in KEYS:
        size, exponent = {"rsa": (2048, 65537), "rsa-ca": (2048, 65537), "rsa1024": (1024, 65537), "rsa-3": (2048, 3)}[kind]
        KEYS[kind] = rsa.generate_private_key(exponent, size)
    return KEYS[kind]


class Certificate:
    def __init__(self, certificate, private):
        self.certificate, self.private = certificate, private

    @property
    def subject(self):
        return self.certificate.subject

    @property
    def serial(self):
        return self.certificate.serial_number


def put(file, data):
    (OUT / f"{file}.der").write_bytes(data)


def usage(*names):
    all_names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
                 "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{n: n in names for n in all_names})


def policies(*oids):
    return x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(o), None) for o in oids])


def make(file, subject, issuer=None, kind="p256", extensions=(), start=START, end=END, digest=SHA256, serial=None, private=None,
         issuer_name=None):
    private = private or key(kind)
    SERIAL[0] += 1
    builder = (x509.CertificateBuilder().subject_name(name(subject) if isinstance(subject, str) else subject)
               .issuer_name(issuer_name or (issuer.subject if issuer else name(subject)))
               .public_key(private.public_key()).serial_number(serial or SERIAL[0]).not_valid_before(start).not_valid_after(end))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(issuer.private if issuer else private, digest)
    put(file, made.public_bytes(serialization.Encoding.DER))
    return Certificate(made, private)


def ca(file, subject, issuer=None, kind="p256", length=None, more=(), with_usage=("key_cert_sign", "crl_sign"), is_ca=True, **rest):
    extensions = [(x509.BasicConstraints(is_ca, length if is_ca else None), True)]
    if with_usage:
        extensions.append((usage(*with_usage), True))
    return make(file, subject, issuer, kind, extensions + list(more), **rest)


def card(file, issuer, kind="p256", usages=("digital_signature",), extended=(Usage.CLIENT_AUTH,), policy=(POLICY,), more=(), **rest):
    extensions = list(more)
    if usages:
        extensions.append((usage(*usages), True))
    if extended:
        extensions.append((x509.ExtendedKeyUsage(extended), False))
    if policy:
        extensions.append((policies(*policy), False))
    return make(file, rest.pop("subject", "Card holder"), issuer, kind, extensions, **rest)


def points(*urls):
    return x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier(u)], None, None, None) for u in urls])


def unknown(critical):
    return [(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"), critical)]


def alternative(text):
    return [(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(text)]), False)]


def cards(issuing, impostor):
    """What hangs beneath a good issuer."""
    locations = [(points("ldap://127.0.0.1/", CRL_URL, SHARD_URL), False),
                 (x509.AuthorityInformationAccess([
                     x509.AccessDescription(x509.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://127.0.0.1/ca")),
                     x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://127.0.0.1/ocsp"))]), False)]
    good = card("card", issuing, "rsa", more=locations + alternative("urn:uuid:1"), serial=0x80F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF00010203 >> 1)
    card("card-p256", issuing)
    card("card-p384", issuing, "p384")
    card("card-expired", issuing, end=datetime.datetime(2026, 3, 1))
    card("card-early", issuing, start=datetime.datetime(2035, 1, 1))
    card("card-encipherment", issuing, usages=("key_encipherment",))
    card("card-no-usage", issuing, usages=())
    card("card-server", issuing, extended=(Usage.SERVER_AUTH,))
    card("card-any-usage", issuing, extended=(Usage.ANY_EXTENDED_KEY_USAGE,))
    card("card-no-extended", issuing, extended=())
    card("card-9e", issuing, extended=(ObjectIdentifier(CARD_AUTH),))
    card("card-other-policy", issuing, policy=(OTHER_POLICY,))
    card("card-any-policy", issuing, policy=(ANY_POLICY,))
    card("card-no-policy", issuing, policy=())
    card("card-two-policies", issuing, policy=(OTHER_POLICY, POLICY))
    card("card-critical", issuing, more=unknown(True))
    card("card-uncritical", issuing, more=unknown(False))
    card("card-sha1", issuing, digest=hashes.SHA1())
    card("card-rsa1024", issuing, "rsa1024")
    card("card-exponent-3", issuing, "rsa-3")
    card("card-p521", issuing, "p521")
    card("card-k1", issuing, "k1")
    card("card-sha512", issuing, digest=hashes.SHA512())
    card("card-by-card", good)
    # The same name as the issuer's, another key.
    card("card-impostor", impostor)
    card("card-key-id", issuing, more=[(x509.AuthorityKeyIdentifier(bytes(20), None, None), False)])
    card("renewed-same-key", issuing, private=good.private, start=datetime.datetime(2026, 5, 1), more=alternative("urn:uuid:1"))
    card("renewed-other-key", issuing, start=datetime.datetime(2026, 5, 1), more=alternative("urn:uuid:1"))
    card("renewed-other-uuid", issuing, start=datetime.datetime(2026, 5, 1), more=alternative("urn:uuid:2"))
    card("renewed-other-name", issuing, start=datetime.datetime(2026, 5, 1), subject="Somebody else", private=good.private,
         more=alternative("urn:uuid:1"))
    return good


def issuers(root):
    """What may stand between: each CA with a card beneath it."""
    issuing = ca("issuing", "Issuing CA", root, more=[(policies(POLICY), False),
                                                      (x509.SubjectKeyIdentifier(b"\1" * 20), False)], length=0)
    beneath = ca("beneath", "CA beneath", issuing, more=[(policies(POLICY), False)])
    card("card-too-long", beneath)

    def one(file, **options):
        more = list(options.pop("more", ())) or [(policies(POLICY), False)]
        made = ca(file, file, options.pop("issuer", root), more=more, **options)
        card(f"card-{file}", made)
        return made

    one("no-ca", is_ca=False)
    one("no-sign", with_usage=("crl_sign",))
    one("ca-no-usage", with_usage=())
    one("ca-expired", end=datetime.datetime(2026, 3, 1))
    one("ca-early", start=datetime.datetime(2035, 1, 1))
    one("ca-critical", more=unknown(True))
    one("ca-names", more=[(x509.NameConstraints([x509.DirectoryName(name("x"))], None), True), (policies(POLICY), False)])
    country = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "jp")]))
    elsewhere = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "US")]))
    for file, permitted, excluded in (("in", [country], None), ("other", [elsewhere], None), ("out", None, [country]), ("far", None, [elsewhere]),
                                      ("both", [elsewhere, country], None),
                                      ("uri", [x509.UniformResourceIdentifier(".example.org")], None),
                                      ("mail", [x509.RFC822Name("example.org")], None), ("dns", None, [x509.DNSName("example.org")])):
        constrained = one(f"ca-names-{file}", more=[(x509.NameConstraints(permitted, excluded), True), (policies(POLICY), False)])
        card(f"card-uuid-{file}", constrained, more=alternative("urn:uuid:1"))
        card(f"card-host-{file}", constrained, more=[(x509.SubjectAlternativeName([
            x509.UniformResourceIdentifier("http://a@x.Example.org:80/y"), x509.RFC822Name("a@Example.org"), x509.DNSName("x.EXAMPLE.org")]), False)])
        card(f"card-away-{file}", constrained, more=[(x509.SubjectAlternativeName([
            x509.UniformResourceIdentifier("http://example.org/@x.example.org"), x509.RFC822Name("a@x.example.org"), x509.DNSName("xexample.org")]), False)])
    one("ca-sha1", digest=hashes.SHA1())
    one("ca-rsa", kind="rsa-ca")
    one("ca-rsa1024", kind="rsa1024")
    one("ca-other-policy", more=[(policies(OTHER_POLICY), False)])
    one("ca-any-policy", more=[(policies(ANY_POLICY), False)])
    one("ca-no-policy", more=[(x509.SubjectKeyIdentifier(bytes(20)), False)])
    one("ca-maps", more=[(policies(POLICY), False), (x509.UnrecognizedExtension(
        ObjectIdentifier("2.5.29.33"), mapping(POLICY, OTHER_POLICY)), True)])
    demanding = ca("demanding", "demanding", root, more=[(policies(POLICY), False), (x509.PolicyConstraints(0, None), True)])
    card("card-demanding", demanding)
    card("card-demanding-none", demanding, policy=())
    inhibiting = ca("inhibiting", "inhibiting", root, more=[(policies(POLICY), False), (x509.InhibitAnyPolicy(0), True)])
    vague = ca("vague", "vague", inhibiting, more=[(policies(ANY_POLICY), False)])
    card("card-vague", vague)
    upper = root
    for level in range(1, 8):
        upper = ca(f"chain-{level}", f"chain {level}", upper)
        card(f"card-chain-{level}", upper)
    return issuing


def der(tag, *content):
    body = b"".join(content)
    return bytes((tag, len(body))) + body


def oid(text):
    arcs = [int(a) for a in text.split(".")]
    out = b""
    for arc in [arcs[0] * 40 + arcs[1], *arcs[2:]]:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        out += bytes(reversed(digits))
    return der(6, out)


def mapping(above, beneath):
    return der(0x30, der(0x30, oid(above), oid(beneath)))


def revocation_list(file, issuer, revoked=(), last=datetime.datetime(2026, 6, 1), following=datetime.datetime(2026, 6, 8), extensions=(),
                    number=7, private=None, digest=SHA256):
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(last).next_update(following)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for serial, reason in revoked:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(datetime.datetime(2026, 5, 1))
        if reason:
            one = one.add_extension(x509.CRLReason(reason), False)
        builder = builder.add_revoked_certificate(one.build())
    put(file, builder.sign(private or issuer.private, digest).public_bytes(serialization.Encoding.DER))


def scope(**fields):
    values = {"full_name": None, "relative_name": None, "only_contains_user_certs": False, "only_contains_ca_certs": False,
              "only_some_reasons": None, "indirect_crl": False, "only_contains_attribute_certs": False, **fields}
    return [(x509.IssuingDistributionPoint(**values), True)]


def uri(text):
    return [x509.UniformResourceIdentifier(text)]


def revocation_lists(root, issuing, good):
    Flag = x509.ReasonFlags
    hold = [(good.serial, Flag.certificate_hold)]
    others = [(n * 7919 % 1000003 + 5, None) for n in range(1, 500)]
    revocation_list("crl", issuing, others)
    revocation_list("crl-revoked", issuing, others + [(good.serial, Flag.key_compromise)] + [(77, None)])
    revocation_list("crl-hold", issuing, hold)
    revocation_list("crl-empty", issuing)
    revocation_list("crl-newer", issuing, last=datetime.datetime(2026, 6, 2), number=8)
    revocation_list("crl-impostor", issuing, private=key("p256"))
    revocation_list("crl-root", root)
    revocation_list("crl-sha1", issuing, digest=hashes.SHA1())
    revocation_list("crl-critical", issuing, extensions=unknown(True))
    revocation_list("crl-delta", issuing, extensions=[(x509.DeltaCRLIndicator(6), True)])
    revocation_list("crl-shard", issuing, extensions=scope(full_name=uri(SHARD_URL)))
    revocation_list("crl-other-shard", issuing, extensions=scope(full_name=uri("http://127.0.0.1/shard-2.crl")))
    revocation_list("crl-users", issuing, extensions=scope(only_contains_user_certs=True))
    revocation_list("crl-cas", issuing, extensions=scope(only_contains_ca_certs=True))
    revocation_list("crl-users-revoked", issuing, hold, extensions=scope(only_contains_user_certs=True))
    revocation_list("crl-users-newer", issuing, last=datetime.datetime(2026, 6, 2), number=8,
                    extensions=scope(only_contains_user_certs=True))
    revocation_list("crl-cas-newer", issuing, last=datetime.datetime(2026, 6, 2), number=50000,
                    extensions=scope(only_contains_ca_certs=True))
    revocation_list("crl-other-shard-newer", issuing, last=datetime.datetime(2026, 6, 2), number=50000,
                    extensions=scope(full_name=uri("http://127.0.0.1/shard-2.crl")))
    revocation_list("crl-indirect", issuing, extensions=scope(indirect_crl=True))
    revocation_list("crl-reasons", issuing, extensions=scope(full_name=uri(SHARD_URL), only_some_reasons=frozenset([Flag.key_compromise])))


def ocsp_answer(file, issuing, about, status=ocsp.OCSPCertStatus.GOOD, responder=None, this=datetime.datetime(2026, 6, 1, 0, 0),
                following=datetime.datetime(2026, 6, 1, 12, 0), nonce=None, chain=(), by_key=False, issuer_of=None, signed=SHA256):
    responder = responder or issuing
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about.certificate, issuer=(issuer_of or issuing).certificate, algorithm=hashes.SHA1(), cert_status=status, this_update=this,
        next_update=following, revocation_time=START if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None)
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH if by_key else ocsp.OCSPResponderEncoding.NAME, responder.certificate)
    if chain:
        builder = builder.certificates([c.certificate for c in chain])
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    made = builder.sign(responder.private, signed)
    put(file, made.public_bytes(serialization.Encoding.DER))


def ocsp_answers(root, issuing, good, impostor):
    Status = ocsp.OCSPCertStatus
    no_check = [(x509.OCSPNoCheck(), False)]

    def delegated(file, issuer=issuing, extended=(Usage.OCSP_SIGNING,), more=tuple(no_check), **rest):
        return card(file, issuer, extended=extended, policy=(), more=list(more), subject=file, **rest)

    responder = delegated("responder")
    ocsp_answer("ocsp", issuing, good)
    ocsp_answer("ocsp-by-key", issuing, good, by_key=True)
    ocsp_answer("ocsp-delegated", issuing, good, responder=responder, chain=[responder])
    ocsp_answer("ocsp-delegated-by-key", issuing, good, responder=responder, chain=[good, responder], by_key=True)
    ocsp_answer("ocsp-nonce", issuing, good, nonce=b"0123456789abcdef")
    ocsp_answer("ocsp-revoked", issuing, good, Status.REVOKED)
    ocsp_answer("ocsp-unknown", issuing, good, Status.UNKNOWN)
    later = {"this": datetime.datetime(2026, 6, 1, 13), "following": datetime.datetime(2026, 6, 2)}
    ocsp_answer("ocsp-later", issuing, good, **later)
    ocsp_answer("ocsp-no-next", issuing, good, following=None)
    ocsp_answer("ocsp-impostor", issuing, good, responder=impostor)
    ocsp_answer("ocsp-sha1", issuing, good, signed=hashes.SHA1())
    ocsp_answer("ocsp-not-included", issuing, good, responder=responder)
    for file, options in {"not-delegated": {"extended": (Usage.CLIENT_AUTH,)}, "other-issuer": {"issuer": root},
                          "expired": {"end": datetime.datetime(2026, 3, 1)}, "no-usages": {"extended": ()},
                          "enciphers": {"usages": ("key_encipherment",)}, "checked": {"more": ()}}.items():
        made = delegated(f"responder-{file}", **options)
        ocsp_answer(f"ocsp-{file}", issuing, good, responder=made, chain=[made])
    another = card("another", issuing)
    ocsp_answer("ocsp-another", issuing, another)
    ocsp_answer("ocsp-another-issuer", issuing, good, issuer_of=root)
    put("ocsp-try-later", ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(serialization.Encoding.DER))


def with_pss():
    """openssl alone signs certificates with PSS: an RSA issuer and a card, salt as long as the digest, and not."""
    work = OUT / "pss"
    work.mkdir()

    def run(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=work, capture_output=True)

    (work / "ca.cnf").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    (work / "card.cnf").write_text(f"keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\ncertificatePolicies={POLICY}\n")
    run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "ca.key")
    run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "card.key")
    run("req", "-new", "-key", "ca.key", "-subj", "/CN=PSS CA", "-out", "ca.csr")
    run("x509", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-extfile", "ca.cnf", "-days", "36500", "-outform", "DER", "-out", "../pss-ca.der")
    run("x509", "-inform", "DER", "-in", "../pss-ca.der", "-out", "ca.pem")
    run("req", "-new", "-key", "card.key", "-subj", "/CN=Card", "-out", "card.csr")
    for file, salt in {"card-pss": "32", "card-pss-salt": "20"}.items():
        run("x509", "-req", "-in", "card.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "card.cnf", "-days", "36500",
            "-set_serial", "5", "-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}", "-sha256",
            "-outform", "DER", "-out", f"../{file}.der")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    root = ca("root", "Root CA", None, "p384")
    ca("other-root", "Root CA", None, "p384")
    ca("expired-root", "Root CA", None, private=root.private, end=datetime.datetime(2026, 3, 1))
    ca("stranger", "Another root", None)
    issuing = issuers(root)
    impostor = ca("impostor", "Issuing CA", None)
    good = cards(issuing, impostor)
    revocation_lists(root, issuing, good)
    ocsp_answers(root, issuing, good, impostor)
    with_pss()


if __name__ == "__main__":
    main()
