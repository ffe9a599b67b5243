from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('visa_auth', '0007_tokens_and_trail'),
    ]

    operations = [
        migrations.CreateModel(
            name='OfficeProposal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('catalogue', models.CharField(help_text='Its name in the configuration.', max_length=64)),
                ('number', models.PositiveBigIntegerField(help_text="User Office's own key, which stays when the code changes.")),
                ('code', models.SlugField(max_length=32)),
                ('at', models.DateTimeField(help_text="When the newest message was sent, by its sender's clock.")),
                ('since', models.DateTimeField(blank=True, help_text='When it first gave access; empty: not yet.', null=True)),
                ('deleted', models.BooleanField(default=False)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('catalogue', 'number'), name='office_proposal_once'), models.UniqueConstraint(condition=models.Q(('deleted', False)), fields=('catalogue', 'code'), name='office_code_once')],
            },
        ),
    ]
